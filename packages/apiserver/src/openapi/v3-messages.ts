/**
 * The messages of OpenAPI v3 documents, as far as ours use them.
 * Source: github.com/google/gnostic-models openapiv3
 */
import { type Messages, Wrapper } from "./document-encoder.ts";

export const V3_MESSAGES: Messages = {
  Document: {
    openapi: [1, "string"],
    info: [2, "Info"],
    paths: [4, "Paths"],
    components: [5, "Components"],
    security: [6, "SecurityRequirement[]"],
  },
  Info: { title: [1, "string"], version: [6, "string"] },
  Components: { schemas: [1, "Schemas"], securitySchemes: [7, "SecuritySchemes"] },
  SecurityRequirement: { "*": [1, "StringArray"] },
  StringArray: new Wrapper({ value: [1, "string[]"] }, () => "value"),
  SecuritySchemes: { "*": [1, "SecuritySchemeOrReference"] },
  SecuritySchemeOrReference: new Wrapper({ scheme: [1, "SecurityScheme"] }, () => "scheme"),
  SecurityScheme: { type: [1, "string"], name: [3, "string"], in: [4, "string"] },
  Paths: { "*": [1, "PathItem"] },
  PathItem: {
    get: [4, "Operation"],
    put: [5, "Operation"],
    post: [6, "Operation"],
    delete: [7, "Operation"],
    options: [8, "Operation"],
    head: [9, "Operation"],
    patch: [10, "Operation"],
    parameters: [13, "ParameterOrReference[]"],
  },
  Operation: {
    tags: [1, "string[]"],
    description: [3, "string"],
    operationId: [5, "string"],
    parameters: [6, "ParameterOrReference[]"],
    requestBody: [7, "RequestBodyOrReference"],
    responses: [8, "Responses"],
    "x-*": [13, "any"],
  },
  ParameterOrReference: new Wrapper({ parameter: [1, "Parameter"] }, () => "parameter"),
  Parameter: { name: [1, "string"], in: [2, "string"], required: [4, "bool"], schema: [10, "SchemaOrReference"] },
  RequestBodyOrReference: new Wrapper({ requestBody: [1, "RequestBody"] }, () => "requestBody"),
  RequestBody: { content: [2, "MediaTypes"], required: [3, "bool"] },
  Responses: { "*": [2, "ResponseOrReference"] },
  ResponseOrReference: new Wrapper({ response: [1, "Response"] }, () => "response"),
  Response: { description: [1, "string"], content: [3, "MediaTypes"] },
  MediaTypes: { "*": [1, "MediaType"] },
  MediaType: { schema: [1, "SchemaOrReference"] },
  Schemas: { "*": [1, "SchemaOrReference"] },
  SchemaOrReference: new Wrapper({ schema: [1, "Schema"], reference: [2, "Reference"] }, (value) =>
    "$ref" in (value as object) ? "reference" : "schema",
  ),
  Reference: { $ref: [1, "string"] },
  Schema: {
    uniqueItems: [20, "bool"],
    required: [23, "string[]"],
    enum: [24, "any[]"],
    type: [25, "string"],
    allOf: [26, "SchemaOrReference[]"],
    oneOf: [27, "SchemaOrReference[]"],
    items: [30, "Item"],
    properties: [31, "Schemas"],
    additionalProperties: [32, "Item"],
    default: [33, "DefaultType"],
    description: [34, "string"],
    format: [35, "string"],
    "x-*": [36, "any"],
  },
  // gnostic's ItemsItem and AdditionalPropertiesItem.
  Item: new Wrapper({ schema: [1, "SchemaOrReference"] }, () => "schema"),
  // A default that is no scalar leaves it empty, in gnostic as well.
  DefaultType: new Wrapper({ number: [1, "double"], boolean: [2, "bool"], string: [3, "string"] }, (value) =>
    ["number", "boolean", "string"].find((type) => typeof value === type),
  ),
};
