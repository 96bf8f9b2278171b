import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { EncryptionConfigError, parseEncryptionConfig } from "./configuration.ts";
import { type CipherName, chainOf, cipherTransformer, identity, TransformError } from "./transformer.ts";

const KEY = "/registry/secrets/default/web";
const secret = (fill: number) => Buffer.alloc(32, fill);
const plain = Buffer.from('{"kind":"Secret"}');

describe("cipherTransformer()", () => {
  for (const name of ["aescbc", "aesgcm", "secretbox"] as const satisfies readonly CipherName[]) {
    const first = { name: "key1", secret: secret(1) };
    const second = { name: "key2", secret: secret(2) };
    test(`${name} writes upstream's prefix and reads what it wrote`, () => {
      const one = cipherTransformer(name, [first]);
      const stored = one.encrypt(plain, KEY);
      assert.equal(stored.subarray(0, stored.indexOf("key1") + 5).toString(), `k8s:enc:${name}:v1:key1:`);
      assert.ok(!stored.includes("Secret"));
      assert.deepEqual(one.decrypt(stored, KEY), { plain, isStale: false });
    });
    test(`${name} reads with any of its keys and calls all but the first stale`, () => {
      const stored = cipherTransformer(name, [first]).encrypt(plain, KEY);
      assert.deepEqual(cipherTransformer(name, [second, first]).decrypt(stored, KEY), { plain, isStale: true });
    });
    test(`${name} refuses another key under the same name, an unknown name, and cut bytes`, () => {
      const one = cipherTransformer(name, [first]);
      const stored = one.encrypt(plain, KEY);
      // Padding of CBC is right by chance once in 256 times; these bytes are not.
      if (name !== "aescbc") {
        const wrong = cipherTransformer(name, [{ name: "key1", secret: secret(9) }]);
        assert.throws(() => wrong.decrypt(stored, KEY), TransformError);
      }
      assert.throws(() => cipherTransformer(name, [second]).decrypt(stored, KEY), /no matching key was found/);
      assert.throws(() => one.decrypt(stored.subarray(0, stored.length - 3), KEY), TransformError);
      assert.equal(one.decrypt(plain, KEY), undefined);
    });
  }

  test("aesgcm binds the value to its place", () => {
    const one = cipherTransformer("aesgcm", [{ name: "k", secret: secret(1) }]);
    assert.throws(() => one.decrypt(one.encrypt(plain, KEY), "/registry/secrets/default/other"), TransformError);
  });

  test("secretbox opens NaCl's own test vector", () => {
    // Source: "Cryptography in NaCl", section 10
    const hex = (text: string) => Buffer.from(text, "hex");
    const key = hex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389");
    const nonce = hex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37");
    const box = hex(
      "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17c98dce87b4da7f011ec48c972" +
        "71d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da99832b61ca01b6de56244a9e88d5f9b3" +
        "7973f622a43d14a6599b1f654cb45a74e355a5",
    );
    const stored = Buffer.concat([Buffer.from("k8s:enc:secretbox:v1:k:"), nonce, box]);
    const opened = cipherTransformer("secretbox", [{ name: "k", secret: key }]).decrypt(stored, KEY);
    assert.equal(opened?.plain.toString("hex").slice(0, 32), "be075fc53c81f2d5cf141316ebeb0c7b");
  });
});

describe("chainOf()", () => {
  test("chainOf() writes with the first provider and reads with the one that fits", () => {
    const aes = cipherTransformer("aescbc", [{ name: "k", secret: secret(1) }]);
    assert.deepEqual(chainOf([aes, identity]).decrypt(plain, KEY), { plain, isStale: true });
    assert.deepEqual(chainOf([identity, aes]).decrypt(aes.encrypt(plain, KEY), KEY), { plain, isStale: true });
    assert.throws(() => chainOf([aes]).decrypt(plain, KEY), /no matching prefix found/);
    assert.throws(() => chainOf([identity]).decrypt(aes.encrypt(plain, KEY), KEY), /identity transformer tried/);
  });
});

const config = (resources: string, providers: string) =>
  `apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: ${resources}\n  providers: ${providers}\n`;
const good = `[{aescbc: {keys: [{name: k, secret: ${secret(1).toString("base64")}}]}}, {identity: {}}]`;

describe("parseEncryptionConfig()", () => {
  const matches: readonly [resources: string, group: string, resource: string, want: boolean][] = [
    ["[secrets]", "", "secrets", true],
    ["[secrets]", "", "configmaps", false],
    ["[secrets]", "apps", "secrets", false],
    ["[deployments.apps]", "apps", "deployments", true],
    ['["*.apps"]', "apps", "daemonsets", true],
    ['["*."]', "", "pods", true],
    ['["*."]', "apps", "daemonsets", false],
    ['["*.*"]', "example.com", "widgets", true],
  ];
  for (const [resources, group, resource, want] of matches) {
    test(`parseEncryptionConfig() says ${want} to ${resource}.${group} under ${resources}`, () => {
      const found = parseEncryptionConfig(config(resources, good)).transformerOf(group, resource);
      assert.equal(found !== undefined, want);
    });
  }

  const wrong: readonly [name: string, text: string, want: RegExp][] = [
    ["no providers", config("[secrets]", "[]"), /providers: Required/],
    ["KMS", config("[secrets]", "[{kms: {name: a}}]"), /KMS plugins are not supported/],
    ["two providers in one", config("[secrets]", "[{identity: {}, aesgcm: {}}]"), /exactly one/],
    ["a short key", config("[secrets]", "[{aescbc: {keys: [{name: k, secret: AAAA}]}}]"), /REDACTED.*3 bytes/],
    ["a key with a colon", config("[secrets]", "[{aescbc: {keys: [{name: 'a:b', secret: AAAA}]}}]"), /without colons/],
    ["a bare star", config('["*"]', good), /use '\*\.\*'/],
    ["another kind", "kind: Pod", /must be an EncryptionConfiguration/],
    ["no YAML", "{", /YAML/],
  ];
  for (const [name, text, want] of wrong) {
    test(`parseEncryptionConfig() refuses ${name}`, () => {
      assert.throws(
        () => parseEncryptionConfig(text),
        (error: Error) => error instanceof EncryptionConfigError && want.test(error.message),
      );
    });
  }
});
