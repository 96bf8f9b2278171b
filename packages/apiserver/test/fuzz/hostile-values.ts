/** Values that parsers, validators and key lookups stumble over. Pure. */
import type { Random } from "./random.ts";

const TEXTS: readonly string[] = [
  "",
  " ",
  "\u0000",
  "\ud800",
  "\uffff\u2028",
  "../../../etc/passwd",
  "..",
  "%2e%2e%2f",
  "a/b",
  "__proto__",
  "constructor",
  "toString",
  "hasOwnProperty",
  "kubernetes.io/metadata.name",
  "-1",
  "1e400",
  "9223372036854775808",
  "0x10",
  "NaN",
  "Infinity",
  "null",
  "true",
  "100%",
  "-5%",
  "1e3Ki",
  "99999999999999999999999999Ei",
  "0.0000000000000000001",
  "1E-1000",
  "2026-13-45T99:99:99Z",
  "0000-00-00T00:00:00Z",
  "9999999-01-01T00:00:00Z",
  "10.0.0.256",
  "::ffff:10.0.0.1",
  "fe80::1%eth0",
  "10.0.0.0/33",
  "0.0.0.0/0",
  "$(A)$(B)$$(C)",
  "* * * * *",
  "@every 1ns",
  "CRON_TZ=x * * * * *",
  "((((((((((a))))))))))",
  "a".repeat(300),
  "x".repeat(5_000),
  "é".repeat(200),
  "a=b,c in (d,e),!f",
  "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
  "AAAA",
  "====",
  "{}",
  "[]",
  '{"a":1}',
];

const NUMBERS: readonly (number | bigint)[] = [
  0,
  -1,
  1,
  -0.5,
  1.5,
  65536,
  -65536,
  2147483647,
  2147483648,
  -2147483649,
  2 ** 53,
  9223372036854775807n,
  9223372036854775808n,
  -9223372036854775809n,
  10n ** 60n,
  1e308,
  5e-324,
];

export function hostileText(random: Random): string {
  return random.chance(0.3) ? random.word() : random.pick(TEXTS);
}

export function hostileNumber(random: Random): number | bigint {
  return random.chance(0.3) ? random.int(70_000) : random.pick(NUMBERS);
}

/** Any JSON value, small. */
export function hostileValue(random: Random, depth = 0): unknown {
  switch (random.int(depth > 3 ? 4 : 6)) {
    case 0:
      return hostileText(random);
    case 1:
      return hostileNumber(random);
    case 2:
      return random.chance(0.5);
    case 3:
      return null;
    case 4:
      return Array.from({ length: random.int(4) }, () => hostileValue(random, depth + 1));
    default: {
      const object: Record<string, unknown> = {};
      for (let i = random.int(4); i > 0; i--) {
        const key = random.chance(0.2) ? random.pick(["__proto__", "constructor", "prototype"]) : hostileText(random);
        Object.defineProperty(object, key, {
          value: hostileValue(random, depth + 1),
          enumerable: true,
          configurable: true,
        });
      }
      return object;
    }
  }
}

/** Nesting as text, which no serialiser could write. */
export function deepJson(random: Random): string {
  const depth = random.pick([50, 900, 1_100, 9_000, 11_000, 200_000]);
  const [open, close] = random.pick([
    ["[", "]"],
    ['{"a":', "}"],
    ['{"metadata":{"labels":', "}}"],
    ['{"spec":{"template":', "}}"],
  ]);
  return open.repeat(depth) + (random.chance(0.5) ? "1" : "") + (random.chance(0.7) ? close.repeat(depth) : "");
}

/** YAML that grows when it is read. */
export function yamlBomb(random: Random): string {
  const levels = random.pick([5, 9, 30, 200]);
  const width = random.pick([2, 9]);
  const lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"];
  for (let i = 1; i < levels; i++) {
    const refs = Array.from({ length: width }, () => `*a${i - 1}`).join(",");
    lines.push(random.chance(0.2) ? `a${i}: &a${i} {<<: *a${i - 1}}` : `a${i}: &a${i} [${refs}]`);
  }
  return `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: bomb\ndata: *a${levels - 1}\n${lines.join("\n")}\n`;
}

export const YAML_TEXTS: readonly string[] = [
  "&a [*a]",
  "a: &a\n  b: *a\n",
  "? [a, b]\n: c\n",
  "? {a: b}\n: c\n",
  "!!binary AAAA",
  "!!js/function 'function(){}'",
  "!!python/object/apply:os.system ['id']",
  "--- \n--- \n--- \n",
  "%YAML 9.9\n---\na: b",
  "%TAG ! tag:x,2000:\n---\n!x a",
  "a: b\na: c\na: d\n",
  "<<: [*x]",
  "a: <<\n<<: {b: c}\n",
  "1: 2\n1.5: 3\ntrue: 4\nnull: 5\n~: 6\n",
  "a: 0o777\nb: 0b1\nc: 1:30:00\nd: 1_000\n",
  "\t- a",
  "'",
  '"\\x"',
  "a: |\n b\n  c\n",
  "[".repeat(3_000),
  "{".repeat(3_000),
  "- ".repeat(3_000),
  "? ".repeat(3_000),
  "a: ".repeat(3_000),
  "&a ".repeat(1_000),
  "!".repeat(10_000),
  "# x\n".repeat(10_000),
  "__proto__: {polluted: true}\nconstructor: {prototype: {polluted: true}}\n",
];

/** `bytes` with some bits flipped, cut, doubled or inserted. */
export function mutated(random: Random, bytes: Buffer): Buffer {
  let out = Buffer.from(bytes);
  for (let i = 1 + random.int(4); i > 0 && out.length > 0; i--) {
    const at = random.int(out.length);
    switch (random.int(5)) {
      case 0:
        out[at] = random.int(256);
        break;
      case 1:
        out = Buffer.from(out.subarray(0, at));
        break;
      case 2:
        out = Buffer.concat([out.subarray(0, at), random.bytes(1 + random.int(6)), out.subarray(at)]);
        break;
      case 3: {
        const length = random.int(Math.min(60, out.length - at) + 1);
        out = Buffer.concat([out.subarray(0, at + length), out.subarray(at, at + length), out.subarray(at + length)]);
        break;
      }
      default:
        out = Buffer.concat([out.subarray(0, at), out.subarray(Math.min(out.length, at + 1 + random.int(20)))]);
    }
  }
  return out;
}
