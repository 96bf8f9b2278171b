import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  formatLabelSelector,
  matchesLabelSelector,
  parseLabelSelector,
  SelectorError,
  selectorOf,
} from "./label-selector.ts";

const labels = { app: "web", tier: "front", n: "5", empty: "" };
const selectors: [text: string, want: boolean, shown: string][] = [
  ["", true, ""],
  ["  ", true, ""],
  ["app=web", true, "app=web"],
  ["app==web", true, "app=web"],
  ["app != web", false, "app!=web"],
  ["x!=y", true, "x!=y"],
  ["app in (web, db)", true, "app in (db,web)"],
  ["app notin (web)", false, "app notin (web)"],
  ["x notin (web)", true, "x notin (web)"],
  ["app", true, "app"],
  ["!app", false, "!app"],
  ["! x", true, "!x"],
  ["n>4", true, "n>4"],
  ["n<4", false, "n<4"],
  ["app>1", false, "app>1"],
  ["app=web,tier=back", false, "app=web,tier=back"],
  ["tier=front,app=web", true, "app=web,tier=front"],
  ["x=", false, "x="],
  ["empty=", true, "empty="],
  ["empty=,app", true, "app,empty="],
  ["empty in ()", true, "empty in ()"],
  ["app in (,web)", true, "app in (,web)"],
  ["app in (web,,)", true, "app in (,web)"],
  ["in in (in,notin)", false, "in in (in,notin)"],
  ["a.b/c-d=e_f", false, "a.b/c-d=e_f"],
  ["app in\t(web\n)", true, "app in (web)"],
  ["app\r\n=\r\nweb", true, "app=web"],
];
for (const [text, want, shown] of selectors) {
  test(`parseLabelSelector() matches ${want} when it is ${JSON.stringify(text)}`, () => {
    const selector = parseLabelSelector(text);
    assert.equal(selector.matches(labels), want);
    assert.equal(selector.toString(), shown);
    assert.equal(parseLabelSelector(shown).toString(), shown);
  });
}

const NAME_RULE =
  "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character " +
  "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const VALUE_RULE =
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an " +
  "alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', " +
  "regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const broken: [text: string, want: string][] = [
  ["app in web", "unable to parse requirement: found 'web' expected: '('"],
  ["a=b=c", "found '=', expected: ',' or 'end of string'"],
  ["a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"],
  ["=x", "found '=', expected: !, identifier, or 'end of string'"],
  [",a", "found ',', expected: !, identifier, or 'end of string'"],
  ["a in (b", "unable to parse requirement: found '', expected: ',' or ')'"],
  ["a in (b,", "unable to parse requirement: found '', expected: ',', or identifier"],
  ["a in (", "unable to parse requirement: found '', expected: ',', ')' or identifier"],
  ["a in (b c)", "unable to parse requirement: found 'c', expected: ',' or ')'"],
  ["a in (=)", "unable to parse requirement: found '=', expected: ',', ')' or identifier"],
  ["a,", "found '', expected: identifier after ','"],
  ["a,,b", "found ',', expected: identifier after ','"],
  ["a=b c", "found 'c', expected: ',' or 'end of string'"],
  ["a===b", "unable to parse requirement: found '=', expected: identifier"],
  ["!", "unable to parse requirement: found '', expected: identifier"],
  ["!a=b", "found '=', expected: ',' or 'end of string'"],
  ["-x=1", `unable to parse requirement: <nil>: Invalid value: "-x": ${NAME_RULE}`],
  ["a=-b", `unable to parse requirement: values[0][a]: Invalid value: "-b": ${VALUE_RULE}`],
  [
    `a=${"b".repeat(64)}`,
    `unable to parse requirement: values[0][a]: Invalid value: "${"b".repeat(64)}": must be no more than 63 bytes`,
  ],
  [
    "n>x",
    `unable to parse requirement: values[0]: Invalid value: "x": for 'Gt', 'Lt' operators, the value must be an integer`,
  ],
];
for (const [text, want] of broken) {
  test(`parseLabelSelector() throws upstream's words when it is ${JSON.stringify(text.slice(0, 20))}`, () => {
    assert.throws(
      () => parseLabelSelector(text),
      (error) => error instanceof SelectorError && error.message === want,
    );
  });
}

test("Selector.matches() sees own labels only when a label is named as a method of objects", () => {
  assert.deepEqual(
    ["constructor", "!constructor", "toString!=x"].map((text) => parseLabelSelector(text).matches({})),
    [false, true, true],
  );
  assert.equal(matchesLabelSelector({ matchExpressions: [{ key: "valueOf", operator: "Exists" }] }, {}), false);
});
test("Selector.exactValue() finds the one value that is asked for", () => {
  const selector = parseLabelSelector("a=1,b in (2),c in (3,4),d!=5");
  assert.deepEqual(
    ["a", "b", "c", "d", "e"].map((key) => selector.exactValue(key)),
    ["1", "2", undefined, undefined, undefined],
  );
});

test("matchesLabelSelector() matches nothing when absent and everything when empty", () => {
  assert.deepEqual([matchesLabelSelector(undefined, labels), matchesLabelSelector({}, labels)], [false, true]);
  assert.equal(matchesLabelSelector({ matchLabels: { app: "web" } }, undefined), false);
});
test("formatLabelSelector() writes what parseLabelSelector() reads", () => {
  const selector = {
    matchLabels: { b: "1", a: "2" },
    matchExpressions: [
      { key: "c", operator: "In", values: ["y", "x"] },
      { key: "d", operator: "DoesNotExist" },
      { key: "e", operator: "NotIn", values: ["z"] },
      { key: "f", operator: "Exists" },
    ],
  };
  assert.equal(formatLabelSelector(selector), "a=2,b=1,c in (x,y),!d,e notin (z),f");
  assert.equal(formatLabelSelector(undefined), "");
});
const badObjects: [operator: string, values: string[] | undefined, want: RegExp][] = [
  ["Gt", ["1"], /^"Gt" is not a valid label selector operator$/],
  ["In", [], /^values: Invalid value: \[\]: for 'in', 'notin' operators, values set can't be empty$/],
  ["Exists", ["x"], /^values: Invalid value: \["x"\]: values set must be empty for exists and does not exist$/],
];
for (const [operator, values, want] of badObjects) {
  test(`selectorOf() throws upstream's words when ${operator} has ${JSON.stringify(values)}`, () => {
    assert.throws(() => selectorOf({ matchExpressions: [{ key: "k", operator, values }] }), { message: want });
  });
}

const key = fc.constantFrom("app", "tier", "n", "x");
const value = fc.constantFrom("web", "front", "5", "");
const selectorObject = fc.record({
  matchLabels: fc.dictionary(key, value, { maxKeys: 2 }),
  matchExpressions: fc.array(
    fc.oneof(
      fc.record({
        key,
        operator: fc.constantFrom("In", "NotIn"),
        values: fc.uniqueArray(value, { minLength: 1, maxLength: 3 }),
      }),
      fc.record({ key, operator: fc.constantFrom("Exists", "DoesNotExist") }),
    ),
    { maxLength: 3 },
  ),
});
test("a LabelSelector, its Selector and its text match the same for all labels", () => {
  fc.assert(
    fc.property(selectorObject, fc.dictionary(key, value), (selector, some) => {
      const want = matchesLabelSelector(selector, some);
      assert.equal(selectorOf(selector)?.matches(some), want);
      assert.equal(parseLabelSelector(formatLabelSelector(selector)).matches(some), want);
    }),
    { verbose: 1 },
  );
});
