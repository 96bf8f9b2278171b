/** The certificate that 10250 serves with: the given files, or one that the kubelet makes for itself and keeps. */
import { execFile } from "node:child_process";
import { access, mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { loadTlsFiles, type TlsFilePaths, type TlsMaterial } from "@knarr/daemon/tls-files.ts";
import type { ServingCertificate } from "../certificates/node-certificates.ts";
import type { Config } from "../config.ts";

const SELF_SIGNED_DAYS = "365";

export interface ServingTls {
  /** Without certificate while the cluster has not signed one: handshakes fail until then. */
  readonly material: Partial<TlsMaterial>;
  /** Watched for rotation; undefined for the kubelet's own. */
  readonly paths: TlsFilePaths | undefined;
}

export async function loadServingTls(config: Config, certificate?: ServingCertificate): Promise<ServingTls> {
  const clientCaFile = config.clientCaFile === "" ? undefined : config.clientCaFile;
  if (certificate !== undefined) {
    const ca = clientCaFile === undefined ? {} : { ca: await readFile(clientCaFile) };
    const pem = certificate.current()?.pem;
    return { material: { ...(pem === undefined ? {} : { cert: pem, key: pem }), ...ca }, paths: undefined };
  }
  if (config.tlsCertFile !== "") {
    const paths = { certFile: config.tlsCertFile, keyFile: config.tlsPrivateKeyFile, clientCaFile };
    return { material: await loadTlsFiles(paths), paths };
  }
  const directory = join(config.rootDir, "pki");
  const certFile = join(directory, "kubelet.crt");
  const keyFile = join(directory, "kubelet.key");
  const there = await access(certFile).then(
    () => true,
    () => false,
  );
  if (!there) await makeSelfSigned(config, directory, certFile, keyFile);
  const ca = clientCaFile === undefined ? {} : { ca: await readFile(clientCaFile) };
  return { material: { cert: await readFile(certFile), key: await readFile(keyFile), ...ca }, paths: undefined };
}

/** Source: upstream does the same when it is given no certificate; clients then can't verify it. */
async function makeSelfSigned(config: Config, directory: string, certFile: string, keyFile: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await promisify(execFile)("openssl", [
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
    "-days",
    SELF_SIGNED_DAYS,
    "-subj",
    `/CN=${config.nodeName}@${Math.floor(Date.now() / 1000)}`,
    "-addext",
    `subjectAltName=DNS:${config.nodeName}`,
    "-keyout",
    keyFile,
    "-out",
    certFile,
  ]);
}
