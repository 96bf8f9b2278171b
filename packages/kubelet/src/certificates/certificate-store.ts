/**
 * A certificate with its key in one file, as upstream keeps it, so that either kubelet goes on with what the other got:
 *
 *   <dir>/kubelet-client-2026-01-02-15-04-05.pem
 *   <dir>/kubelet-client-current.pem -> the newest of them
 *
 * A new pair is written beside and the link moved: who reads `current` sees the old pair or the new one.
 * Source: k8s.io/client-go/util/certificate/certificate_store.go
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Validity } from "./plan-rotation.ts";

export interface StoredCertificate extends Validity {
  /** Certificates, then the key. */
  readonly pem: Buffer;
  readonly subjectAltName: string | undefined;
}

/** Throws an Error for what is no certificate with its own key. */
export function readPair(pem: Buffer): StoredCertificate {
  const leaf = new X509Certificate(pem);
  if (!leaf.checkPrivateKey(createPrivateKey(pem))) throw new Error("certificate and key do not belong together");
  return {
    pem,
    notBefore: leaf.validFromDate.getTime(),
    notAfter: leaf.validToDate.getTime(),
    subjectAltName: leaf.subjectAltName,
  };
}

export class CertificateStore {
  readonly #directory: string;
  readonly #name: string;

  /** `name`: "kubelet-client". */
  constructor(directory: string, name: string) {
    this.#directory = directory;
    this.#name = name;
  }

  get currentPath(): string {
    return join(this.#directory, `${this.#name}-current.pem`);
  }

  /** undefined when there is none, or none that can be used: a new one is asked for then. */
  async current(): Promise<StoredCertificate | undefined> {
    let pem: Buffer;
    try {
      pem = await readFile(this.currentPath);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
    try {
      return readPair(pem);
    } catch {
      // Cut short by a crash or a full disk, or not ours: as good as none.
      return undefined;
    }
  }

  async update(certificate: string, key: string, nowMs: number): Promise<StoredCertificate> {
    const pem = Buffer.from(`${certificate.trimEnd()}\n${key.trimEnd()}\n`);
    const stored = readPair(pem);
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const stamp = new Date(nowMs).toISOString().slice(0, 19).replaceAll(/[T:]/g, "-");
    const path = join(this.#directory, `${this.#name}-${stamp}.pem`);
    await writeFile(`${path}.tmp`, pem, { mode: 0o600 });
    await rename(`${path}.tmp`, path);
    const fresh = join(this.#directory, `${this.#name}-updated.pem`);
    await rm(fresh, { force: true });
    await symlink(path, fresh);
    await rename(fresh, this.currentPath);
    return stored;
  }
}
