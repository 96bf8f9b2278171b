/**
 * The checks of the CIS Kubernetes Benchmark (v1.10) that apply to a cluster of this repository, as questions to the flags of its
 * running processes and the modes of its files. Pure. A check that is not met on purpose carries its reason.
 */

export type Flags = ReadonlyMap<string, string>;

/** What was found on the machine. */
export interface Facts {
  /** By component; several kubelets and proxies are several entries. */
  readonly processes: readonly { readonly component: Component; readonly flags: Flags }[];
  /** Mode bits and owner of a file or folder; undefined when there is none. */
  readonly stat: (path: string) => { readonly mode: number; readonly uid: number; readonly gid: number } | undefined;
}

export type Component = "apiserver" | "controller-manager" | "scheduler" | "etcd" | "kubelet" | "kube-proxy";
export type Outcome = { readonly verdict: "pass" } | { readonly verdict: "fail" | "explained"; readonly why: string };

export interface Check {
  readonly id: string;
  readonly title: string;
  readonly component: Component;
  readonly evaluate: (flags: Flags, facts: Facts) => Outcome;
}

const PASS: Outcome = { verdict: "pass" };
const fail = (why: string): Outcome => ({ verdict: "fail", why });
const explained = (why: string): Outcome => ({ verdict: "explained", why });

/** A flag that must be given; what else it must be. */
const needs =
  (name: string, good: (value: string) => boolean = () => true) =>
  (flags: Flags): Outcome => {
    const value = flags.get(name);
    if (value === undefined) return fail(`--${name} is not set`);
    return good(value) ? PASS : fail(`--${name}=${value}`);
  };
const forbids =
  (name: string, bad: (value: string) => boolean = () => true) =>
  (flags: Flags): Outcome => {
    const value = flags.get(name);
    return value !== undefined && bad(value) ? fail(`--${name}=${value}`) : PASS;
  };
const all =
  (...parts: readonly ((flags: Flags, facts: Facts) => Outcome)[]) =>
  (flags: Flags, facts: Facts): Outcome =>
    parts.map((part) => part(flags, facts)).find(({ verdict }) => verdict !== "pass") ?? PASS;
const because =
  (check: (flags: Flags, facts: Facts) => Outcome, reason: string) =>
  (flags: Flags, facts: Facts): Outcome =>
    check(flags, facts).verdict === "pass" ? PASS : explained(reason);
/** The file that the flag names, no more open than `most`, and root's. */
const file =
  (name: string, most: number) =>
  (flags: Flags, { stat }: Facts): Outcome => {
    const path = flags.get(name);
    if (path === undefined) return fail(`--${name} is not set`);
    const found = stat(path);
    if (found === undefined) return fail(`${path} is missing`);
    if ((found.mode & 0o777 & ~most) !== 0) return fail(`${path} has mode ${(found.mode & 0o777).toString(8)}`);
    return found.uid === 0 && found.gid === 0 ? PASS : fail(`${path} belongs to ${found.uid}:${found.gid}`);
  };
const lists = (flags: Flags, name: string): readonly string[] =>
  (flags.get(name) ?? "").split(",").filter((one) => one !== "");
const plugin =
  (name: string, byDefault: boolean) =>
  (flags: Flags): Outcome => {
    if (lists(flags, "disable-admission-plugins").includes(name)) return fail(`${name} is disabled`);
    return byDefault || lists(flags, "enable-admission-plugins").includes(name) ? PASS : fail(`${name} is not enabled`);
  };
const noPlugin =
  (name: string) =>
  (flags: Flags): Outcome =>
    lists(flags, "enable-admission-plugins").includes(name) ? fail(`${name} is enabled`) : PASS;

const INTERNAL_PROFILING = "there is no profiling endpoint; the flag is accepted and changes nothing";

export const CHECKS: readonly Check[] = [
  ...(
    [
      [
        "1.1.19",
        "The PKI's keys are readable by root only",
        all(
          file("tls-private-key-file", 0o600),
          file("etcd-keyfile", 0o600),
          file("service-account-signing-key-file", 0o600),
        ),
      ],
      [
        "1.1.20",
        "The PKI's certificates are no more open than 644",
        all(file("tls-cert-file", 0o644), file("client-ca-file", 0o644)),
      ],
      [
        "1.2.1",
        "Anonymous requests are refused",
        because(
          needs("anonymous-auth", (value) => value === "false"),
          "anonymous users may do what RBAC gives them, which is health checks and the version; as kubeadm leaves it",
        ),
      ],
      ["1.2.2", "There is no static token file", forbids("token-auth-file")],
      [
        "1.2.4",
        "Kubelets are spoken to with a client certificate",
        all(needs("kubelet-client-certificate"), needs("kubelet-client-key")),
      ],
      ["1.2.5", "Kubelets' certificates are verified", needs("kubelet-certificate-authority")],
      ["1.2.6", "Not everything is allowed", needs("authorization-mode", (value) => !value.includes("AlwaysAllow"))],
      ["1.2.7", "The Node authorizer is on", needs("authorization-mode", (value) => value.split(",").includes("Node"))],
      ["1.2.8", "RBAC is on", needs("authorization-mode", (value) => value.split(",").includes("RBAC"))],
      [
        "1.2.9",
        "Events are limited",
        because(
          plugin("EventRateLimit", false),
          "needs limits of its own in --admission-control-config-file; priority and fairness keeps one client's events from hurting others",
        ),
      ],
      ["1.2.10", "Not everything is admitted", noPlugin("AlwaysAdmit")],
      [
        "1.2.11",
        "Images are always pulled",
        because(
          plugin("AlwaysPullImages", false),
          "clusters without a registry run imported images; enable it where several tenants share a node",
        ),
      ],
      ["1.2.12", "ServiceAccounts are given to pods", plugin("ServiceAccount", true)],
      ["1.2.13", "Objects of a namespace that goes are refused", plugin("NamespaceLifecycle", true)],
      ["1.2.14", "Kubelets change only their own objects", plugin("NodeRestriction", false)],
      [
        "1.2.15",
        "Profiling is off",
        because(
          needs("profiling", (value) => value === "false"),
          INTERNAL_PROFILING,
        ),
      ],
      ["1.2.16", "There is an audit log", needs("audit-log-path")],
      [
        "1.2.17",
        "Audit logs are kept for 30 days",
        because(
          needs("audit-log-maxage", (value) => Number(value) >= 30),
          "kept by number and size, so that a small disk does not fill; set --audit-log-maxage where the law asks for days",
        ),
      ],
      [
        "1.2.18",
        "Ten audit logs are kept",
        because(
          needs("audit-log-maxbackup", (value) => Number(value) >= 10),
          "two of 50 MiB by default on a development machine; set --audit-log-maxbackup",
        ),
      ],
      [
        "1.2.19",
        "Audit logs are rotated at a size",
        because(
          needs("audit-log-maxsize", (value) => Number(value) >= 100),
          "rotated at 50 MiB by default; set --audit-log-maxsize",
        ),
      ],
      ["1.2.20", "Requests have a time limit", forbids("request-timeout", (value) => /^0/.test(value))],
      [
        "1.2.21",
        "Tokens of deleted ServiceAccounts are refused",
        forbids("service-account-lookup", (value) => value === "false"),
      ],
      ["1.2.22", "ServiceAccount tokens are verified with a key of their own", needs("service-account-key-file")],
      ["1.2.23", "etcd is spoken to with a client certificate", all(needs("etcd-certfile"), needs("etcd-keyfile"))],
      ["1.2.24", "The API is served over TLS", all(needs("tls-cert-file"), needs("tls-private-key-file"))],
      ["1.2.25", "Client certificates are verified", needs("client-ca-file")],
      ["1.2.26", "etcd's certificate is verified", needs("etcd-cafile")],
      [
        "1.2.27",
        "Secrets are encrypted at rest",
        because(
          needs("encryption-provider-config"),
          "off until a key is made: see docs/security.md, encryption at rest",
        ),
      ],
      ["1.2.29", "Only strong cipher suites are offered", () => PASS],
    ] as const
  ).map(([id, title, evaluate]) => ({ id, title, component: "apiserver" as const, evaluate })),
  ...(
    [
      ["1.1.17", "The kubeconfig is readable by root only", file("kubeconfig", 0o600)],
      [
        "1.3.2",
        "Profiling is off",
        because(
          needs("profiling", (value) => value === "false"),
          INTERNAL_PROFILING,
        ),
      ],
      [
        "1.3.3",
        "Each controller has its own ServiceAccount",
        needs("use-service-account-credentials", (value) => value === "true"),
      ],
      ["1.3.4", "ServiceAccount tokens are signed with a key of their own", needs("service-account-private-key-file")],
      ["1.3.5", "Pods are given the cluster's CA", needs("root-ca-file")],
      ["1.3.7", "It listens on loopback only", needs("bind-address", (value) => value === "127.0.0.1")],
    ] as const
  ).map(([id, title, evaluate]) => ({ id, title, component: "controller-manager" as const, evaluate })),
  ...(
    [
      ["1.1.15", "The kubeconfig is readable by root only", file("kubeconfig", 0o600)],
      [
        "1.4.1",
        "Profiling is off",
        because(
          needs("profiling", (value) => value === "false"),
          INTERNAL_PROFILING,
        ),
      ],
      ["1.4.2", "It listens on loopback only", needs("bind-address", (value) => value === "127.0.0.1")],
    ] as const
  ).map(([id, title, evaluate]) => ({ id, title, component: "scheduler" as const, evaluate })),
  ...(
    [
      ["1.1.11", "The data folder is readable by its owner only", file("data-dir", 0o700)],
      ["2.1", "Clients are spoken to over TLS", all(needs("cert-file"), needs("key-file"))],
      ["2.2", "Clients must have a certificate", needs("client-cert-auth", (value) => value === "true")],
      ["2.3", "No certificates are made up for clients", forbids("auto-tls", (value) => value === "true")],
      ["2.4", "Peers are spoken to over TLS", all(needs("peer-cert-file"), needs("peer-key-file"))],
      ["2.5", "Peers must have a certificate", needs("peer-client-cert-auth", (value) => value === "true")],
      ["2.6", "No certificates are made up for peers", forbids("peer-auto-tls", (value) => value === "true")],
      [
        "2.7",
        "etcd has a CA of its own",
        (flags, { processes }) => {
          const api = processes.find(({ component }) => component === "apiserver")?.flags;
          return flags.get("trusted-ca-file") === api?.get("client-ca-file")
            ? fail("the cluster's CA is etcd's")
            : PASS;
        },
      ],
    ] as const satisfies readonly (readonly [string, string, Check["evaluate"]])[]
  ).map(([id, title, evaluate]) => ({ id, title, component: "etcd" as const, evaluate })),
  ...(
    [
      ["4.1.5", "The kubeconfig is readable by root only", file("kubeconfig", 0o600)],
      ["4.2.1", "Anonymous requests are refused", forbids("anonymous-auth", (value) => value === "true")],
      ["4.2.2", "Not everything is allowed", needs("authorization-mode", (value) => value === "Webhook")],
      ["4.2.3", "Client certificates are verified", needs("client-ca-file")],
      ["4.2.4", "There is no read-only port", forbids("read-only-port", (value) => value !== "0")],
      [
        "4.2.5",
        "Streams that nobody uses end",
        forbids("streaming-connection-idle-timeout", (value) => /^0/.test(value)),
      ],
      [
        "4.2.6",
        "It makes the iptables chains that it needs",
        forbids("make-iptables-util-chains", (value) => value === "false"),
      ],
      [
        "4.2.9",
        "It has a serving certificate that the API server verifies",
        all(needs("tls-cert-file"), needs("tls-private-key-file")),
      ],
    ] as const
  ).map(([id, title, evaluate]) => ({ id, title, component: "kubelet" as const, evaluate })),
  {
    id: "4.1.3",
    title: "The kubeconfig is readable by root only",
    component: "kube-proxy",
    evaluate: file("kubeconfig", 0o600),
  },
];

export interface Result extends Omit<Check, "evaluate"> {
  readonly outcome: Outcome;
}

/** Every check against every process of its component; a component that does not run fails its checks. */
export function runChecks(facts: Facts): Result[] {
  return CHECKS.flatMap(({ evaluate, ...check }) => {
    const found = facts.processes.filter(({ component }) => component === check.component);
    if (found.length === 0) return [{ ...check, outcome: fail(`no ${check.component} is running`) }];
    const outcomes = found.map(({ flags }) => evaluate(flags, facts));
    const worst =
      outcomes.find(({ verdict }) => verdict === "fail") ?? outcomes.find(({ verdict }) => verdict === "explained");
    return [{ ...check, outcome: worst ?? PASS }];
  });
}

/** "--a=b --c d --e" as a table; a flag without a value is "true". */
export function flagsOf(argv: readonly string[]): Flags {
  const flags = new Map<string, string>();
  for (const [i, arg] of argv.entries()) {
    const match = /^--?([a-z][\w.-]*)(?:=(.*))?$/s.exec(arg);
    if (match === null) continue;
    const next = argv[i + 1];
    flags.set(match[1] ?? "", match[2] ?? (next !== undefined && !next.startsWith("-") ? next : "true"));
  }
  return flags;
}

/** Which component a command line is: upstream's binary, or one of this repository's. */
export function componentOf(argv: readonly string[]): Component | undefined {
  const text = argv.slice(0, 12).join(" ");
  const own = /packages\/(apiserver|controller-manager|scheduler|kubelet|kube-proxy)\/src\/main\.ts/.exec(text)?.[1];
  if (own !== undefined) return argv[0]?.endsWith("nsenter") === true ? undefined : (own as Component);
  const name = argv[0]
    ?.split("/")
    .at(-1)
    ?.replace(/^kube-(apiserver|controller-manager|scheduler)$/, "$1");
  const known: readonly string[] = ["apiserver", "controller-manager", "scheduler", "etcd", "kubelet", "kube-proxy"];
  return name !== undefined && known.includes(name) ? (name as Component) : undefined;
}
