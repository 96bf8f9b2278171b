import assert from "node:assert/strict";
import { test } from "node:test";
import * as fieldErrors from "./field-errors.ts";
import { childPath, fieldPath, indexPath, keyPath } from "./field-path.ts";
import { aggregateText, quoteGo, utf8Length } from "./go-text.ts";
import { isPercent, parseIntOrString, resolveIntOrPercent } from "./int-or-string.ts";
import {
  annotationsSizeBytes,
  isAnnotationKey,
  isDns1035Label,
  isDns1123Label,
  isDns1123Subdomain,
  isLabelValue,
  isQualifiedName,
  isWildcardDns1123Subdomain,
} from "./name-validation.ts";
import { isConflict, statusErrors } from "./status-error.ts";

const names: [check: (text: string) => string[], good: string[], bad: string[]][] = [
  [isDns1123Label, ["a", "1-a", "a".repeat(63)], ["", "A", "-a", "a.", "a.b", "a\n", "ä", "a".repeat(64)]],
  [isDns1123Subdomain, ["a.b-c", "1.2", "a".repeat(253)], ["", "a..b", ".a", "A.b", "a_b", "a".repeat(254)]],
  [isDns1035Label, ["a1"], ["1a", "a-", ""]],
  [isWildcardDns1123Subdomain, ["*.a.b"], ["*", "a.b", "*.*.a", "*a.b"]],
  [isQualifiedName, ["a", "A_b.c", "x.io/a"], ["", "/a", "a/", "x.io/a/b", "X.io/a", "a b", "a".repeat(64)]],
  [isAnnotationKey, ["X.io/A", "a"], ["a/b/c"]],
  [isLabelValue, ["", "a", "A.b_c-1"], ["-a", "a ", "a/b", "a\n", "a".repeat(64)]],
];
for (const [check, good, bad] of names) {
  test(`${check.name}() accepts what upstream accepts and complains of the rest`, () => {
    for (const text of good) assert.deepEqual(check(text), [], text);
    for (const text of bad) assert.notDeepEqual(check(text), [], text);
  });
}

const LABEL_RULE =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric " +
  "character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const KEY_RULE =
  "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character " +
  "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const wordings: [check: (text: string) => string[], text: string, want: string[]][] = [
  [isDns1123Label, "UPPER", [LABEL_RULE]],
  [isDns1123Label, "a.b", ["must not contain dots"]],
  [isDns1123Label, `${"a".repeat(64)}`, ["must be no more than 63 characters"]],
  [isDns1123Label, `${"ä".repeat(32)}`, ["must be no more than 63 characters", LABEL_RULE]],
  [isLabelValue, "a".repeat(64), ["must be no more than 63 bytes"]],
  [
    isDns1035Label,
    "1a",
    [
      "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an " +
        "alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
    ],
  ],
  [isQualifiedName, "", ["name part must be non-empty", `name part ${KEY_RULE}`]],
  [isQualifiedName, "/a", ["prefix part must be non-empty"]],
  [isQualifiedName, `${"a".repeat(254)}/a`, ["prefix part must be no more than 253 bytes"]],
  [
    isQualifiedName,
    "a/b/c",
    [`a valid label key ${KEY_RULE} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`],
  ],
];
for (const [check, text, want] of wordings) {
  test(`${check.name}() complains in upstream's words when given ${JSON.stringify(text.slice(0, 20))}`, () => {
    assert.deepEqual(check(text), want);
  });
}
test("annotationsSizeBytes() counts keys and values in UTF-8", () => {
  assert.equal(annotationsSizeBytes({ a: "ä", b: "x\u{1f600}" }), 1 + 2 + 1 + 5);
});

test("resolveIntOrPercent() rounds as told", () => {
  assert.deepEqual(
    [resolveIntOrPercent("25%", 10, true), resolveIntOrPercent("25%", 10, false), resolveIntOrPercent(4, 10, true)],
    [3, 2, 4],
  );
});
const badPercents: [text: string, want: string][] = [
  ["25", "invalid value for IntOrString: invalid type: string is not a percentage"],
  ["x%", 'invalid value for IntOrString: invalid value "x%": strconv.Atoi: parsing "x": invalid syntax'],
];
for (const [text, want] of badPercents) {
  test(`resolveIntOrPercent() throws upstream's words when given ${text}`, () => {
    assert.throws(
      () => resolveIntOrPercent(text, 10, true),
      (error) => error instanceof RangeError && error.message === want,
    );
  });
}
test("isPercent() and parseIntOrString() tell numbers, percentages and names apart", () => {
  assert.deepEqual(["5%", "5", "%", 5].map(isPercent), [true, false, false, false]);
  assert.deepEqual(["80", "-1", "2147483648", "http", "8 0"].map(parseIntOrString), [
    80,
    -1,
    "2147483648",
    "http",
    "8 0",
  ]);
});

test("fieldPath() and its parts build paths as messages show them", () => {
  assert.equal(fieldPath("spec", "containers", 0, "ports", 1, "name"), "spec.containers[0].ports[1].name");
  assert.equal(keyPath(childPath("metadata", "labels"), "a/b"), "metadata.labels[a/b]");
  assert.equal(indexPath(childPath("", "items"), 3), "items[3]");
});

const fields: [name: string, made: { type: string; message: string }, type: string, message: string][] = [
  ["required()", fieldErrors.required("f"), "FieldValueRequired", "Required value"],
  ["required() with detail", fieldErrors.required("f", "say it"), "FieldValueRequired", "Required value: say it"],
  [
    "invalid()",
    fieldErrors.invalid("f", 70000, fieldErrors.inclusiveRange(1, 65535)),
    "FieldValueInvalid",
    "Invalid value: 70000: must be between 1 and 65535, inclusive",
  ],
  ["invalid() of text", fieldErrors.invalid("f", 'a"\n', "no"), "FieldValueInvalid", 'Invalid value: "a\\"\\n": no'],
  ["invalid() of null", fieldErrors.invalid("f", undefined, "no"), "FieldValueInvalid", "Invalid value: null: no"],
  [
    "invalid() of an object",
    fieldErrors.invalid("f", { b: "<", a: 1 }, "no"),
    "FieldValueInvalid",
    'Invalid value: {"a":1,"b":"\\u003c"}: no',
  ],
  ["typeInvalid()", fieldErrors.typeInvalid("f", true, "no"), "FieldValueTypeInvalid", "Invalid value: true: no"],
  [
    "notSupported()",
    fieldErrors.notSupported("f", "x", ["A", "B"]),
    "FieldValueNotSupported",
    'Unsupported value: "x": supported values: "A", "B"',
  ],
  ["duplicate()", fieldErrors.duplicate("f", "x"), "FieldValueDuplicate", 'Duplicate value: "x"'],
  ["forbidden()", fieldErrors.forbidden("f", "may not"), "FieldValueForbidden", "Forbidden: may not"],
  ["notFound()", fieldErrors.notFound("f", "x"), "FieldValueNotFound", 'Not found: "x"'],
  ["tooLong()", fieldErrors.tooLong("f", 1), "FieldValueTooLong", "Too long: may not be more than 1 byte"],
  [
    "tooLongCharacters()",
    fieldErrors.tooLongCharacters("f", 2),
    "FieldValueTooLong",
    "Too long: may not be more than 2 characters",
  ],
  ["tooShort()", fieldErrors.tooShort("f", 2), "FieldValueTooShort", "Too short: must be at least 2 characters"],
  ["tooMany()", fieldErrors.tooMany("f", 3, 2), "FieldValueTooMany", "Too many: 3: must have at most 2 items"],
  ["tooFew()", fieldErrors.tooFew("f", 0, 1), "FieldValueTooFew", "Too few: 0: must have at least 1 item"],
  ["internalError()", fieldErrors.internalError("f", "oops"), "InternalError", "Internal error: oops"],
];
for (const [name, made, type, message] of fields) {
  test(`${name} words it as upstream`, () => assert.deepEqual(made, { type, field: "f", message }));
}

test("quoteGo() writes what %q writes", () => {
  assert.equal(quoteGo('a"\\\t\u0007\u0001\u00a0é\u{1f600}\u200b '), '"a\\"\\\\\\t\\a\\x01\\u00a0é\u{1f600}\\u200b "');
});
test("utf8Length() counts as TextEncoder does", () => {
  for (const text of ["", "abc", "äö", "€", "\u{1f600}x", "\ud800", "\udc00\ud800x"]) {
    assert.equal(utf8Length(text), new TextEncoder().encode(text).length, JSON.stringify(text));
  }
});
test("aggregateText() names each different text once", () => {
  assert.deepEqual(
    [aggregateText(["a"]), aggregateText(["a", "b", "a"]), aggregateText(["a", "a"])],
    ["a", "[a, b]", "a"],
  );
});

const pods = { group: "", resource: "pods" };
test("statusErrors.invalid() joins several complaints and lists each as a cause", () => {
  const { status } = statusErrors.invalid("apps", "Deployment", "web", [
    { type: "FieldValueRequired", field: "spec.a", message: "Required value" },
    { type: "FieldValueInvalid", field: "spec.b", message: "Invalid value: 1: must be 2" },
  ]);
  assert.equal(
    status.message,
    'Deployment.apps "web" is invalid: [spec.a: Required value, spec.b: Invalid value: 1: must be 2]',
  );
  assert.equal(status.details?.causes?.length, 2);
});
const statuses: [name: string, error: { code: number; message: string }, code: number, message: string][] = [
  ["forbidden()", statusErrors.forbidden(pods, "", "no"), 403, "pods is forbidden: no"],
  ["forbidden() of a path", statusErrors.forbidden({ group: "", resource: "" }, "", "no"), 403, "forbidden: no"],
  [
    "serverTimeout()",
    statusErrors.serverTimeout(pods, "list"),
    500,
    "The list operation against pods could not be completed at this time, please try again.",
  ],
  [
    "generateNameConflict()",
    statusErrors.generateNameConflict(pods, "a"),
    409,
    'pods "a" already exists, the server was not able to generate a unique name for the object',
  ],
  [
    "strictDecoding()",
    statusErrors.strictDecoding(['unknown field "a"', 'duplicate field "b"']),
    400,
    'strict decoding error: unknown field "a", duplicate field "b"',
  ],
];
for (const [name, error, code, message] of statuses) {
  test(`statusErrors.${name} has upstream's code and words`, () => {
    assert.deepEqual([error.code, error.message], [code, message]);
  });
}
test("isConflict() sees conflicts of versions and of appliers", () => {
  assert.equal(isConflict(statusErrors.staleVersion(pods, "a")), true);
  assert.equal(isConflict(statusErrors.applyConflict("x", [])), true);
  assert.equal(isConflict(statusErrors.alreadyExists(pods, "a")), false);
});
