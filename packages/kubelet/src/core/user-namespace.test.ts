import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import {
  DEFAULT_RANGE,
  type IdRange,
  nextRange,
  parseMappings,
  parseSubordinateIds,
  poolComplaint,
  renderMappings,
  UNIT,
} from "./user-namespace.ts";

const pool = (first: number, length: number, idsPerPod = UNIT) => ({ first, length, idsPerPod });
const whole = { ...DEFAULT_RANGE, idsPerPod: UNIT };

const pools = [
  { name: "the default", pool: whole, want: undefined },
  { name: "exactly enough", pool: pool(UNIT, 110 * UNIT), want: undefined },
  { name: "larger units", pool: pool(2 ** 20, 110 * 2 ** 20, 2 ** 20), want: undefined },
  { name: "an odd unit", pool: pool(UNIT, 110 * UNIT, 1000), want: /length 1000 is not a multiple of 65536/ },
  { name: "an odd beginning", pool: pool(100_000, 110 * UNIT), want: /ID 100000 is not a multiple of 65536/ },
  { name: "the node's own ids", pool: pool(0, 110 * UNIT), want: /ID 0 must be greater or equal to 65536/ },
  { name: "an odd length", pool: pool(UNIT, 110 * UNIT + 1), want: /IDs length 7208961 is not a multiple of 65536/ },
  { name: "too few", pool: pool(UNIT, 109 * UNIT), want: /not enough to support 110 pods/ },
];
for (const { name, pool: given, want } of pools) {
  test(`poolComplaint() ${want === undefined ? "accepts" : "refuses"} a pool of ${name}`, () => {
    const complaint = poolComplaint(given, 110);
    if (want === undefined) assert.equal(complaint, undefined);
    else assert.match(complaint ?? "", want);
  });
}

const one = (first: number, length = UNIT): IdRange => ({ first, length });
const free: { name: string; used: IdRange[]; want: number | undefined }[] = [
  { name: "nothing is in use", used: [], want: UNIT },
  { name: "the first is in use", used: [one(UNIT)], want: 2 * UNIT },
  { name: "one came free between others", used: [one(3 * UNIT), one(UNIT)], want: 2 * UNIT },
  { name: "one of a former pool is in use elsewhere", used: [one(1000 * UNIT)], want: UNIT },
  { name: "one of a former pool reaches into two", used: [one(UNIT + 5)], want: 3 * UNIT },
  { name: "a longer one of a former pool is in use", used: [one(UNIT, 2 ** 18)], want: 5 * UNIT },
  { name: "all are in use", used: [1, 2, 3, 4, 5, 6].map((n) => one(n * UNIT)), want: undefined },
];
for (const { name, used, want } of free) {
  test(`nextRange() gives ${want ?? "nothing"} when ${name}`, () => {
    assert.equal(nextRange(pool(UNIT, 6 * UNIT), used)?.first, want);
  });
}

test("nextRange() never gives two pods an id in common, whatever comes and goes, and finds room while there is any", () => {
  const steps = fc.array(fc.record({ add: fc.boolean(), which: fc.nat(30) }), { maxLength: 80 });
  const foreign = fc.array(
    fc.record({ first: fc.integer({ min: 0, max: 30 * UNIT }), length: fc.integer({ min: 1, max: 3 * UNIT }) }),
    { maxLength: 3 },
  );
  fc.assert(
    fc.property(steps, foreign, fc.constantFrom(1, 2, 3), (todo, before, units) => {
      const given = pool(6 * UNIT, 24 * UNIT, units * UNIT);
      const used = [...before];
      const touches = (range: IdRange) =>
        used.some((u) => u.first < range.first + range.length && range.first < u.first + u.length);
      for (const { add, which } of todo) {
        if (!add) {
          used.splice(which, 1);
          continue;
        }
        const range = nextRange(given, used);
        if (range === undefined) {
          for (let first = given.first; first < given.first + given.length; first += given.idsPerPod) {
            assert.ok(touches(one(first, given.idsPerPod)), `${first} was free`);
          }
          continue;
        }
        assert.ok(!touches(range));
        assert.equal(range.first % given.idsPerPod, 0);
        assert.ok(range.first >= given.first && range.first + range.length <= given.first + given.length);
        used.push(range);
      }
    }),
    { seed: 127, verbose: true },
  );
});

test("parseMappings() reads what renderMappings() wrote, to the end of the ids", () => {
  for (const range of [one(UNIT), one(2 ** 32 - UNIT)]) assert.deepEqual(parseMappings(renderMappings(range)), range);
  const mapping = '[{"hostId":131072,"containerId":0,"length":65536}]';
  assert.equal(renderMappings(one(2 * UNIT)), `{"uidMappings":${mapping},"gidMappings":${mapping}}`);
});

const m = (hostId: number, containerId = 0, length = UNIT) => ({ hostId, containerId, length });
const broken = [
  { text: "", why: /invalid user namespace mappings file/ },
  { text: "null", why: /no more than one mapping/ },
  { text: { uidMappings: [m(UNIT), m(UNIT)], gidMappings: [m(UNIT)] }, why: /no more than one mapping/ },
  { text: { uidMappings: [m(UNIT)], gidMappings: [] }, why: /mappings should be identical/ },
  { text: { uidMappings: [m(UNIT)], gidMappings: [m(2 * UNIT)] }, why: /mapping should be identical/ },
  { text: { uidMappings: [m(UNIT, 1)], gidMappings: [m(UNIT, 1)] }, why: /UID 0 must be mapped/ },
  { text: { uidMappings: [m(0)], gidMappings: [m(0)] }, why: /no range of ids/ },
  { text: { uidMappings: [m(1.5)], gidMappings: [m(1.5)] }, why: /no range of ids/ },
];
for (const { text, why } of broken) {
  const written = typeof text === "string" ? text : JSON.stringify(text);
  test(`parseMappings() refuses ${written.slice(0, 60)}`, () => assert.throws(() => parseMappings(written), why));
}

test("parseSubordinateIds() reads the one range that getsubids prints, and refuses all else", () => {
  assert.deepEqual(parseSubordinateIds("0: kubelet 65536 7208960\n"), { first: 65_536, length: 7_208_960 });
  for (const text of ["", "0: kubelet 65536", "0: kubelet x 1", "0: kubelet 1 2\n1: kubelet 3 4"]) {
    assert.throws(() => parseSubordinateIds(text), /line/);
  }
});
