/**
 * The messages of OpenAPI v2 documents, which kubectl up to 1.27 reads and nothing else, as far as ours use them.
 * Source: github.com/google/gnostic-models openapiv2
 */
import { type Messages, Wrapper } from "./document-encoder.ts";

const isIn = (value: unknown, place: string): boolean => (value as { in?: unknown }).in === place;

export const V2_MESSAGES: Messages = {
  Document: {
    swagger: [1, "string"],
    info: [2, "Info"],
    paths: [8, "Paths"],
    definitions: [9, "Schemas"],
    security: [12, "SecurityRequirement[]"],
    securityDefinitions: [13, "SecurityDefinitions"],
  },
  Info: { title: [1, "string"], version: [2, "string"] },
  SecurityRequirement: { "*": [1, "StringArray"] },
  StringArray: new Wrapper({ value: [1, "string[]"] }, () => "value"),
  SecurityDefinitions: { "*": [1, "SecurityDefinitionsItem"] },
  SecurityDefinitionsItem: new Wrapper({ apiKey: [2, "ApiKeySecurity"] }, (value) => (value as { type: string }).type),
  ApiKeySecurity: { type: [1, "string"], name: [2, "string"], in: [3, "string"] },
  Paths: { "*": [2, "PathItem"] },
  PathItem: {
    get: [2, "Operation"],
    put: [3, "Operation"],
    post: [4, "Operation"],
    delete: [5, "Operation"],
    options: [6, "Operation"],
    head: [7, "Operation"],
    patch: [8, "Operation"],
    parameters: [9, "ParametersItem[]"],
  },
  Operation: {
    tags: [1, "string[]"],
    description: [3, "string"],
    operationId: [5, "string"],
    produces: [6, "string[]"],
    consumes: [7, "string[]"],
    parameters: [8, "ParametersItem[]"],
    responses: [9, "Responses"],
    schemes: [10, "string[]"],
    "x-*": [13, "any"],
  },
  ParametersItem: new Wrapper({ parameter: [1, "Parameter"] }, () => "parameter"),
  Parameter: new Wrapper({ body: [1, "BodyParameter"], other: [2, "NonBodyParameter"] }, (value) =>
    isIn(value, "body") ? "body" : "other",
  ),
  BodyParameter: { name: [2, "string"], in: [3, "string"], required: [4, "bool"], schema: [5, "Schema"] },
  NonBodyParameter: new Wrapper({ query: [3, "QueryParameter"], path: [4, "PathParameter"] }, (value) =>
    isIn(value, "path") ? "path" : "query",
  ),
  // The two differ by one field (allowEmptyValue) and so in every number after it.
  QueryParameter: {
    required: [1, "bool"],
    in: [2, "string"],
    name: [4, "string"],
    type: [6, "string"],
    uniqueItems: [20, "bool"],
  },
  PathParameter: {
    required: [1, "bool"],
    in: [2, "string"],
    name: [4, "string"],
    type: [5, "string"],
    uniqueItems: [19, "bool"],
  },
  Responses: { "*": [1, "ResponseValue"] },
  ResponseValue: new Wrapper({ response: [1, "Response"] }, () => "response"),
  Response: { description: [1, "string"], schema: [2, "SchemaItem"] },
  SchemaItem: new Wrapper({ schema: [1, "Schema"] }, () => "schema"),
  Schema: {
    $ref: [1, "string"],
    format: [2, "string"],
    description: [4, "string"],
    default: [5, "any"],
    required: [19, "string[]"],
    enum: [20, "any[]"],
    additionalProperties: [21, "SchemaItem"],
    type: [22, "TypeItem"],
    items: [23, "SchemaItem"],
    properties: [25, "Schemas"],
    "x-*": [31, "any"],
  },
  TypeItem: new Wrapper({ value: [1, "string"] }, () => "value"),
  Schemas: { "*": [1, "Schema"] },
};
