/** Signs JSON Web Tokens with a ServiceAccount key (RS256, ES256..) and detached signatures with a bootstrap token (HS256). */
import { createHash, createHmac, createPrivateKey, createPublicKey, sign } from "node:crypto";

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** Source: k8s.io/kubernetes/pkg/serviceaccount/jwt.go: the key's id is the digest of its public half. */
export function makeTokenSigner(pem: Buffer | string): (claims: object) => string {
  const key = createPrivateKey(pem);
  const publicDer = createPublicKey(key).export({ format: "der", type: "spki" });
  const kid = createHash("sha256").update(publicDer).digest("base64url");
  const { alg, hash } = algorithmOf(key.asymmetricKeyType, key.asymmetricKeyDetails?.namedCurve);
  return (claims) => {
    const input = `${encode({ alg, kid })}.${encode(claims)}`;
    const signature = sign(hash, Buffer.from(input), { key, dsaEncoding: "ieee-p1363" });
    return `${input}.${signature.toString("base64url")}`;
  };
}

function algorithmOf(type: string | undefined, curve: string | undefined): { alg: string; hash: string } {
  if (type === "rsa") return { alg: "RS256", hash: "sha256" };
  if (type !== "ec") throw new Error(`the ServiceAccount key is of an unknown type: ${type}`);
  if (curve === "secp384r1") return { alg: "ES384", hash: "sha384" };
  if (curve === "secp521r1") return { alg: "ES512", hash: "sha512" };
  return { alg: "ES256", hash: "sha256" };
}

/** A JWS of `text` without the text itself. Source: RFC 7515 appendix F, KEP bootstrap tokens */
export function signDetached(text: string, id: string, token: string): string {
  const header = encode({ alg: "HS256", kid: id });
  const input = `${header}.${Buffer.from(text).toString("base64url")}`;
  return `${header}..${createHmac("sha256", token).update(input).digest("base64url")}`;
}
