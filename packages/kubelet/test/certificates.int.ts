/** A node that joins with a bootstrap credential only, and whose short-lived certificates are renewed while it runs. */
import "reflect-metadata";
import assert from "node:assert/strict";
import { createPrivateKey, webcrypto } from "node:crypto";
import { access, readFile } from "node:fs/promises";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "node:tls";
import { certificates, core } from "@knarr/api/generated/resources.ts";
import type { CertificateSigningRequest } from "@knarr/api/generated/types/certificates-v1.ts";
import { Client } from "@knarr/client/client.ts";
import { isolatedTest, removeCgroups } from "@knarr/testkit/isolated-test.ts";
import { startApiserver, type TestApiserver } from "@knarr/testkit/start-apiserver.ts";
import { startContainerd, type TestContainerd } from "@knarr/testkit/start-containerd.ts";
import { startEtcd, type TestEtcd } from "@knarr/testkit/start-etcd.ts";
import * as x509 from "@peculiar/x509";
import { startKubelet, type TestKubelet } from "./start-kubelet.ts";

const LIFE_MS = 40_000;
const NODE = "node-1";
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

/** Approves and signs what is asked for, with short lives: the controller manager's part, its least being ten minutes. */
class Signer {
  readonly #client: Client;
  readonly #api: TestApiserver;
  readonly signed: CertificateSigningRequest[] = [];
  firstAt = Number.POSITIVE_INFINITY;

  constructor(api: TestApiserver) {
    this.#api = api;
    this.#client = new Client(api.admin);
  }

  async run(signal: AbortSignal): Promise<void> {
    const ref = certificates.certificatesigningrequests;
    while (!signal.aborted) {
      const { items } = await this.#client.list(ref, {});
      for (const csr of items.filter((item) => item.status?.certificate === undefined)) await this.#sign(csr);
      await sleep(200);
    }
    this.#client.close();
  }

  async #sign(csr: CertificateSigningRequest): Promise<void> {
    const ref = certificates.certificatesigningrequests;
    const now = new Date().toISOString().replace(/\.\d+/, "");
    const approved = { type: "Approved", status: "True", reason: "Test", lastUpdateTime: now };
    const next = { ...csr, status: { conditions: [approved] } };
    const stored = await this.#client.update(ref, next, { subresource: "approval" });
    const certificate = Buffer.from(await this.#issue(csr)).toString("base64");
    await this.#client.update(ref, { ...stored, status: { ...stored.status, certificate } }, { subresource: "status" });
    this.signed.push(csr);
    this.firstAt = Math.min(this.firstAt, Date.now());
  }

  async #issue(csr: CertificateSigningRequest): Promise<string> {
    const crypto = webcrypto as Crypto;
    const request = new x509.Pkcs10CertificateRequest(Buffer.from(csr.spec.request, "base64").toString());
    const ca = new x509.X509Certificate(this.#api.pki.caCert);
    const der = createPrivateKey(await readFile(this.#api.pki.path("ca.key"), "utf8")).export({
      type: "pkcs8",
      format: "der",
    });
    const signingKey = await crypto.subtle.importKey("pkcs8", new Uint8Array(der), ALGORITHM, false, ["sign"]);
    const auth = csr.spec.usages?.includes("server auth") === true ? "serverAuth" : "clientAuth";
    const certificate = await x509.X509CertificateGenerator.create(
      {
        serialNumber: Date.now().toString(16),
        subject: request.subject,
        issuer: ca.subject,
        notBefore: new Date(),
        notAfter: new Date(Date.now() + LIFE_MS),
        signingAlgorithm: ALGORITHM,
        publicKey: request.publicKey,
        signingKey,
        extensions: [
          ...request.extensions.filter((e) => e instanceof x509.SubjectAlternativeNameExtension),
          new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage[auth]]),
        ],
      },
      crypto,
    );
    return certificate.toString("pem");
  }
}

if (await isolatedTest(import.meta)) {
  const cgroupRoot = `/knarr-test-${process.pid}-certificates`;
  const stop = new AbortController();
  let etcd: TestEtcd;
  let api: TestApiserver;
  let containerd: TestContainerd;
  let kubelet: TestKubelet;
  let signer: Signer;
  let signing: Promise<void>;
  let client: Client;

  before(async () => {
    etcd = await startEtcd();
    [api, containerd] = await Promise.all([startApiserver({ etcd }), startContainerd({ subnet: "10.88.33.0/24" })]);
    client = new Client(api.admin);
    signer = new Signer(api);
    signing = signer.run(stop.signal);
    const directory = join(containerd.directory, "node");
    const joiner = await api.user("joiner", ["system:masters"]);
    kubelet = await startKubelet({
      directory,
      endpoint: containerd.endpoint,
      cgroupRoot,
      args: [
        `--kubeconfig=${join(directory, "kubelet.conf")}`,
        `--bootstrap-kubeconfig=${joiner.kubeconfig}`,
        "--rotate-certificates",
        "--rotate-server-certificates",
        "--node-status-update-frequency=1s",
        "--node-status-report-frequency=1s",
        `--client-ca-file=${api.pki.path("ca.crt")}`,
      ],
    });
  });
  after(async () => {
    stop.abort();
    await signing;
    if (process.env.KNARR_SHOW_OUTPUT !== undefined) process.stderr.write(kubelet.output());
    await kubelet.stop();
    client.close();
    await api.stop();
    await etcd.stop();
    await containerd.stop();
    await removeCgroups(cgroupRoot);
  });

  const until = async (what: string, probe: () => Promise<boolean>, attempts = 1200) => {
    for (let attempt = 0; attempt < attempts; attempt++) {
      if (await probe()) return;
      await sleep(50);
    }
    assert.fail(`never happened: ${what}\n${kubelet.output().slice(-3000)}`);
  };

  const servedNow = () =>
    new Promise<{ serial: string; subject: string } | undefined>((resolve) => {
      const ca = api.pki.caCert;
      const socket = connect({ host: "127.0.0.1", port: kubelet.port, ca, servername: NODE }, () => {
        const { serialNumber, subject } = socket.getPeerCertificate();
        socket.destroy();
        resolve({ serial: serialNumber, subject: String(subject.CN) });
      });
      socket.once("error", () => resolve(undefined));
    });

  test("a node joins with a bootstrap credential, keeps its certificate and writes its kubeconfig", async () => {
    await until("the node is registered", async () => {
      const { items } = await client.list(core.nodes, {});
      return items.length === 1;
    });
    const pki = join(kubelet.rootDir, "pki");
    const conf = await readFile(join(kubelet.directory, "kubelet.conf"), "utf8");
    assert.match(conf, /client-certificate: .*\/pki\/kubelet-client-current\.pem/);
    await access(join(pki, "kubelet-client-current.pem"));
    await assert.rejects(access(join(pki, "kubelet-client.key.tmp")));
    const [first] = signer.signed;
    assert.match(first?.metadata.name ?? "", /^node-csr-/);
    assert.equal(first?.spec.signerName, "kubernetes.io/kube-apiserver-client-kubelet");
  });

  test("it serves with a certificate of the cluster's, which clients can verify", async () => {
    await until("it serves", async () => (await servedNow()) !== undefined);
    assert.equal((await servedNow())?.subject, `system:node:${NODE}`);
    const request = signer.signed.find((csr) => csr.spec.signerName === "kubernetes.io/kubelet-serving");
    assert.equal(request?.spec.username, `system:node:${NODE}`);
  });

  test("both certificates are renewed before they expire, without a restart", async () => {
    const before = await servedNow();
    const pid = kubelet.pid();
    const current = await readFile(join(kubelet.rootDir, "pki", "kubelet-client-current.pem"), "utf8");
    await until("another certificate is served", async () => {
      const now = await servedNow();
      return now !== undefined && now.serial !== before?.serial;
    });
    await until("the client certificate is another", async () => {
      return (await readFile(join(kubelet.rootDir, "pki", "kubelet-client-current.pem"), "utf8")) !== current;
    });
    // The first certificates are over by then: what the node still reports, it reports with later ones.
    await sleep(Math.max(0, signer.firstAt + LIFE_MS - Date.now()));
    const reported = async () => {
      const node = await client.get(core.nodes, { namespace: "", name: NODE });
      return node.status?.conditions?.find((c) => c.type === "Ready")?.lastHeartbeatTime;
    };
    const last = await reported();
    await until("the node goes on reporting", async () => (await reported()) !== last);
    assert.equal(kubelet.pid(), pid);
    assert.ok(signer.signed.length >= 4, `${signer.signed.length} certificates were signed`);
  });

  test("after a restart it goes on with what it has", async () => {
    // Its own certificate may be due meanwhile; it does not join anew.
    const joins = () => signer.signed.filter((csr) => csr.spec.username === "joiner").length;
    const before = joins();
    await kubelet.restart();
    await until("it serves again", async () => (await servedNow()) !== undefined);
    assert.equal(joins(), before);
  });
}
