import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "@knarr/daemon/clock.ts";
import { parseAuthenticationConfiguration } from "./authentication-configuration.ts";
import { JwtIssuers } from "./jwt-issuers.ts";
import { RequestAuthenticator } from "./request-authenticator.ts";

const HEAD = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n";
const issuer = (url: string) =>
  `jwt: [{issuer: {url: '${url}', audiences: [a]}, claimMappings: {username: {claim: sub, prefix: ''}}}]\n`;
const settings = (text: string) => parseAuthenticationConfiguration(HEAD + text);
const options = { serviceAccountIssuers: ["https://sa"], anonymous: true, clock: systemClock };

test("JwtIssuers.load() takes a new configuration, says when nothing changed, and keeps the old when the new is wrong", async () => {
  const issuers = new JwtIssuers(options);
  const requests = new RequestAuthenticator([], { anonymous: () => issuers.anonymous });
  const isIn = async (path: string) => (await requests.authenticate({ path })) !== undefined;
  assert.equal(await isIn("/api"), true);
  const narrow = `${issuer("https://one")}anonymous: {enabled: true, conditions: [{path: /livez}]}`;
  assert.equal(issuers.load(settings(narrow)), true);
  assert.equal(issuers.load(settings(narrow)), false);
  assert.equal(await isIn("/api"), false);
  assert.equal(await isIn("/livez"), true);
  assert.throws(() => issuers.load(settings(issuer("https://sa"))), /is a ServiceAccount issuer too/);
  assert.equal(await isIn("/api"), false);
  assert.equal(issuers.load(settings(issuer("https://two"))), true);
  assert.equal(await isIn("/api"), true);
});
