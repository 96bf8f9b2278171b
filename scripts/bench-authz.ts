/**
 * `npm run bench:authz`: how long one RBAC decision takes with few and with many bindings, beside a yardstick of the same
 * run: the same decision by a scan over all bindings. No cluster, no network: the authorizer by itself.
 */
import type { ClusterRole, ClusterRoleBinding } from "@knarr/api/generated/types/rbac-v1.ts";
import { FakeView } from "@knarr/apiserver/authz/fake-view.ts";
import { RbacAuthorizer } from "@knarr/apiserver/authz/rbac.ts";
import { compileRules } from "@knarr/apiserver/authz/rule.ts";
import type { ResourceAttributes } from "@knarr/apiserver/authz/types.ts";

const SIZES = [10, 100, 1_000, 10_000];
const ROLES = 10;
const ROUNDS = 7;
const DECISIONS = 20_000;
const GROUP = "rbac.authorization.k8s.io";

interface World {
  readonly roles: readonly ClusterRole[];
  readonly bindings: readonly ClusterRoleBinding[];
  readonly questions: readonly ResourceAttributes[];
}

function worldOf(size: number): World {
  const roles = Array.from({ length: ROLES }, (_, i) => ({
    metadata: { name: `role-${i}` },
    rules: [
      { verbs: ["get", "list"], apiGroups: ["apps"], resources: ["deployments"] },
      { verbs: ["get"], apiGroups: [""], resources: ["pods"] },
    ],
  }));
  const bindings = Array.from({ length: size }, (_, i) => ({
    metadata: { name: `binding-${i}` },
    roleRef: { apiGroup: GROUP, kind: "ClusterRole", name: `role-${i % ROLES}` },
    subjects: [{ apiGroup: GROUP, kind: "User", name: `user-${i}` }],
  }));
  // Half of the questions are answered yes, half no (an unknown verb is looked for in every rule that the user has).
  const questions = Array.from({ length: 64 }, (_, i): ResourceAttributes => {
    const name = `user-${(i * 7919) % size}`;
    const user = { name, uid: "", groups: ["system:authenticated"], extra: {} };
    const asked = {
      apiGroup: "",
      apiVersion: "v1",
      resource: "pods",
      subresource: "",
      namespace: "default",
      name: "web",
    };
    return { kind: "resource", user, verb: i % 2 === 0 ? "get" : "delete", ...asked };
  });
  return { roles, bindings, questions };
}

function indexed({ roles, bindings }: World): (asked: ResourceAttributes) => boolean {
  const authorizer = new RbacAuthorizer({
    roles: new FakeView([]),
    roleBindings: new FakeView([]),
    clusterRoles: new FakeView(roles),
    clusterRoleBindings: new FakeView(bindings),
  });
  return (asked) => authorizer.authorize(asked).verdict === "allowed";
}

/** The yardstick: every binding is looked at. */
function scanned({ roles, bindings }: World): (asked: ResourceAttributes) => boolean {
  const rules = new Map(roles.map((role) => [role.metadata.name ?? "", compileRules(role.rules)]));
  return (asked) =>
    bindings.some(
      ({ subjects = [], roleRef }) =>
        subjects.some(({ kind, name }) => kind === "User" && name === asked.user.name) &&
        (rules.get(roleRef.name) ?? []).some((rule) => rule.allows(asked)),
    );
}

/** Median over rounds of the time of one decision, in nanoseconds. */
function measure(decide: (asked: ResourceAttributes) => boolean, { questions }: World, decisions: number): number {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const startedNs = process.hrtime.bigint();
    let yes = 0;
    for (let i = 0; i < decisions; i += 1) {
      const asked = questions[i % questions.length];
      if (asked !== undefined && decide(asked)) yes += 1;
    }
    times.push(Number(process.hrtime.bigint() - startedNs) / decisions);
    if (yes !== decisions / 2) throw new Error(`${yes} of ${decisions} decisions were yes, not half`);
  }
  return times.sort((a, b) => a - b)[Math.floor(ROUNDS / 2)] ?? Number.NaN;
}

const lines = SIZES.map((size) => {
  const world = worldOf(size);
  const byIndex = measure(indexed(world), world, DECISIONS);
  // The scan is so slow with many bindings that fewer decisions tell as much.
  const byScan = measure(scanned(world), world, Math.max(128, Math.floor(DECISIONS / size / 64) * 64));
  const figures = [size.toLocaleString("en"), byIndex.toFixed(0), byScan.toFixed(0), (byScan / byIndex).toFixed(1)];
  return `| ${figures.join(" | ")} |`;
});
process.stdout.write(
  `Median time of one RBAC decision, half of them yes, over ${ROUNDS} rounds\n\n` +
    "| bindings | decision, ns | by a scan over all (yardstick), ns | ratio |\n| ---: | ---: | ---: | ---: |\n" +
    `${lines.join("\n")}\n`,
);
