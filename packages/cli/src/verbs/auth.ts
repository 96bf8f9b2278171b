/** `knarr auth can-i|whoami|reconcile`: who we are and what we may do. */
import type { KubeObject } from "@knarr/apimachinery/object.ts";
import { isNotFound, StatusError } from "@knarr/apimachinery/status-error.ts";
import type { Command } from "commander";
import { connect } from "../connect.ts";
import { renderTable } from "../core/table.ts";
import { discover } from "../discovery.ts";
import { addFileFlags, type FileOptions } from "../flags.ts";
import { locate, SilentError } from "../manifest-actions.ts";
import { addDryRunFlag, addPrintFlags, type PrintOptions, parseDryRun, printerOf, ResultPrinter } from "../print.ts";
import { readManifests } from "../read-manifests.ts";
import { type CliContext, CliError, type Connection, type GlobalOptions, type Verb } from "../verb.ts";

interface CanIOptions extends GlobalOptions {
  readonly allNamespaces?: boolean;
  readonly list?: boolean;
  readonly quiet?: boolean;
  readonly subresource?: string;
  readonly headers: boolean;
}

export const auth: Verb = {
  name: "auth",
  register(program, context) {
    const parent = program.command("auth").description("Inspect authorization");
    parent
      .command("can-i")
      .description("Check whether an action is allowed")
      .argument("[verb]", "get, list, create, ...")
      .argument("[type|type/name|/path]", "what it is done to")
      .argument("[name]", "a single object")
      .option("-A, --all-namespaces", "in every namespace")
      .option("--list", "all that is allowed")
      .option("-q, --quiet", "only the exit code")
      .option("--subresource <name>", "a subresource: log, exec, ...")
      .option("--no-headers", "leave out the headings of --list")
      .action(
        (verb: string | undefined, type: string | undefined, name: string | undefined, _o: unknown, self: Command) => {
          const options = self.optsWithGlobals<CanIOptions>();
          return options.list === true ? listRules(options, context) : canI(verb, type, name, options, context);
        },
      );
    addPrintFlags(parent.command("whoami").description("Experimental: Check self subject attributes")).action(
      (_options: unknown, self: Command) => whoAmI(self.optsWithGlobals<GlobalOptions & PrintOptions>(), context),
    );
    addPrintFlags(
      addDryRunFlag(
        addFileFlags(
          parent
            .command("reconcile")
            .description(
              "Reconciles rules for RBAC role, role binding, cluster role, and cluster role binding objects",
            ),
        ),
      )
        .option("--remove-extra-permissions", "take away what the files don't grant")
        .option("--remove-extra-subjects", "take away subjects that the files don't name"),
    ).action((_options: unknown, self: Command) => reconcile(self.optsWithGlobals<ReconcileOptions>(), context));
  },
};

/** Verbs that kubectl knows; others are allowed, with a warning. */
const VERBS = new Set(
  "get list watch create update patch delete deletecollection use bind impersonate * approve sign escalate attest proxy".split(
    " ",
  ),
);

async function canI(
  verb: string | undefined,
  type: string | undefined,
  name: string | undefined,
  options: CanIOptions,
  context: CliContext,
): Promise<void> {
  if (verb === undefined || type === undefined) {
    throw new CliError(
      "you must specify two arguments: verb resource or verb resource/resourceName.\nSee 'knarr auth can-i -h' for help and examples.",
    );
  }
  const connection = await connect(options, context);
  const { client } = connection;
  const spec: Record<string, unknown> = {};
  if (type.startsWith("/")) spec.nonResourceAttributes = { path: type, verb };
  else {
    const [word = "", named] = type.split("/");
    const mapper = await discover(client, context.signal);
    const known = word === "*" ? undefined : safely(() => mapper.resolve(word));
    const [plain = "", ...group] = word.split(".");
    if (known === undefined && word !== "*") {
      context.stderr.write(`Warning: the server doesn't have a resource type '${word}'\n\n`);
    }
    if (!VERBS.has(verb)) context.stderr.write(`Warning: verb '${verb}' is not a known verb\n\n`);
    if (known !== undefined && !known.namespaced && options.allNamespaces !== true) {
      const suffix = known.group === "" ? "" : ` in group '${known.group}'`;
      context.stderr.write(`Warning: resource '${known.resource}' is not namespace scoped${suffix}\n\n`);
    }
    spec.resourceAttributes = {
      namespace: options.allNamespaces === true ? "" : connection.namespace,
      verb,
      group: known?.group ?? group.join("."),
      resource: known?.resource ?? plain,
      ...(options.subresource === undefined ? {} : { subresource: options.subresource }),
      ...((named ?? name) === undefined ? {} : { name: named ?? name }),
    };
  }
  const review = await post<{ status: { allowed: boolean; reason?: string; evaluationError?: string } }>(
    client,
    "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
    { apiVersion: "authorization.k8s.io/v1", kind: "SelfSubjectAccessReview", metadata: {}, spec },
    context.signal,
  );
  const { allowed, reason = "", evaluationError = "" } = review.status;
  if (options.quiet !== true) {
    const why = allowed || reason === "" ? "" : ` - ${reason}`;
    const failed = evaluationError === "" ? "" : ` - ${evaluationError}`;
    context.stdout.write(`${allowed ? "yes" : "no"}${why}${failed}\n`);
  }
  if (!allowed) throw new SilentError();
}

function safely<T>(from: () => T): T | undefined {
  try {
    return from();
  } catch {
    return undefined;
  }
}

async function post<T>(client: Connection["client"], path: string, body: object, signal: AbortSignal): Promise<T> {
  const headers = { "content-type": "application/json", accept: "application/json" };
  const answer = await client.request({ method: "POST", path, headers, body: JSON.stringify(body), signal });
  return JSON.parse(answer.body.toString("utf8")) as T;
}

interface Rule {
  readonly verbs?: readonly string[];
  readonly apiGroups?: readonly string[];
  readonly resources?: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly nonResourceURLs?: readonly string[];
}

async function listRules(options: CanIOptions, context: CliContext): Promise<void> {
  const { client, namespace } = await connect(options, context);
  const { status } = await post<{
    status: { resourceRules?: Rule[]; nonResourceRules?: Rule[]; incomplete?: boolean };
  }>(
    client,
    "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
    { apiVersion: "authorization.k8s.io/v1", kind: "SelfSubjectRulesReview", metadata: {}, spec: { namespace } },
    context.signal,
  );
  const list = (items: readonly string[] | undefined) => `[${(items ?? []).join(" ")}]`;
  const ofResources = (status.resourceRules ?? []).flatMap((rule) =>
    (rule.resources ?? []).flatMap((resource) =>
      (rule.apiGroups ?? [""]).map((group) => [
        group === "" ? resource : `${resource}.${group}`,
        "[]",
        list(rule.resourceNames),
        list(rule.verbs),
      ]),
    ),
  );
  const ofUrls = (status.nonResourceRules ?? []).flatMap((rule) =>
    (rule.nonResourceURLs ?? []).map((url) => ["", `[${url}]`, "[]", list(rule.verbs)]),
  );
  const rows = [...ofResources.sort((a, b) => ((a[0] ?? "") < (b[0] ?? "") ? -1 : 1)), ...ofUrls];
  const headings = ["Resources", "Non-Resource URLs", "Resource Names", "Verbs"];
  context.stdout.write(renderTable(rows, options.headers ? { headings } : {}));
}

async function whoAmI(options: GlobalOptions & PrintOptions, context: CliContext): Promise<void> {
  const printer = printerOf(options);
  const { client } = await connect(options, context);
  const review = await post<
    KubeObject & {
      status: { userInfo: { username?: string; uid?: string; groups?: string[]; extra?: Record<string, string[]> } };
    }
  >(
    client,
    "/apis/authentication.k8s.io/v1/selfsubjectreviews",
    { apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview", metadata: {} },
    context.signal,
  );
  if (printer !== undefined) {
    context.stdout.write(printer.render(review));
    return;
  }
  const { username = "", uid, groups, extra } = review.status.userInfo;
  const rows = [
    ["Username", username],
    ...(uid === undefined || uid === "" ? [] : [["UID", uid]]),
    ...(groups === undefined ? [] : [["Groups", `[${groups.join(" ")}]`]]),
    ...Object.entries(extra ?? {})
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, values]) => [`Extra: ${key}`, `[${values.join(" ")}]`]),
  ];
  context.stdout.write(renderTable(rows, { headings: ["ATTRIBUTE", "VALUE"] }));
}

interface ReconcileOptions extends GlobalOptions, FileOptions, PrintOptions {
  readonly dryRun?: string;
  readonly removeExtraPermissions?: boolean;
  readonly removeExtraSubjects?: boolean;
}
type RbacObject = KubeObject & { rules?: Rule[]; subjects?: object[]; roleRef?: object };

async function reconcile(options: ReconcileOptions, context: CliContext): Promise<void> {
  const dryRun = parseDryRun(options.dryRun);
  const printer = new ResultPrinter(options, context);
  const recursive = options.recursive === true;
  const manifests = await readManifests(options.filename ?? [], { ...options, recursive }, context);
  const connection = await connect(options, context);
  const mapper = await discover(connection.client, context.signal);
  for (const { object } of manifests) {
    const { resource, namespace } = locate(object, mapper, connection);
    if (resource.group !== "rbac.authorization.k8s.io") {
      throw new CliError(`only rbac.authorization.k8s.io/v1 is supported: not ${object.kind} of ${object.apiVersion}`);
    }
    const key = { namespace, name: object.metadata.name ?? "" };
    const wanted = {
      ...object,
      metadata: { ...object.metadata, ...(namespace === "" ? {} : { namespace }) },
    } as RbacObject;
    const settings = { dryRun: dryRun === "server", fieldManager: "kubectl-auth", signal: context.signal };
    let live: RbacObject | undefined;
    try {
      live = (await connection.client.get(resource, key, { signal: context.signal })) as RbacObject;
    } catch (error) {
      if (!(error instanceof StatusError) || !isNotFound(error)) throw error;
    }
    const merged = live === undefined ? wanted : mergedRbac(live, wanted, options);
    if (dryRun !== "client") {
      if (live === undefined) await connection.client.create(resource, merged, settings);
      else await connection.client.update(resource, merged, settings);
    }
    printer.print({ ...merged, apiVersion: object.apiVersion, kind: object.kind } as KubeObject, "reconciled");
  }
}

function mergedRbac(live: RbacObject, wanted: RbacObject, options: ReconcileOptions): RbacObject {
  const text = (value: object) => JSON.stringify(value);
  const union = <T extends object>(old: readonly T[] = [], added: readonly T[] = []) => [
    ...old,
    ...added.filter((item) => !old.some((other) => text(other) === text(item))),
  ];
  return {
    ...live,
    ...(wanted.rules === undefined
      ? {}
      : { rules: options.removeExtraPermissions === true ? wanted.rules : union(live.rules, wanted.rules) }),
    ...(wanted.subjects === undefined
      ? {}
      : { subjects: options.removeExtraSubjects === true ? wanted.subjects : union(live.subjects, wanted.subjects) }),
  };
}
