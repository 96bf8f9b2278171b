/**
 * RBAC objects in memory, found by who they speak of: a decision looks only at the bindings of its user and groups, however many others
 * there are. Fed by views of the watch cache; never waits.
 */
import type {
  ClusterRole,
  ClusterRoleBinding,
  Role,
  RoleBinding,
  RoleRef,
  Subject,
} from "@knarr/api/generated/types/rbac-v1.ts";
import { SERVICE_ACCOUNT_USER_PREFIX, type UserInfo } from "../authn/types.ts";
import type { ObjectView } from "../storage/types.ts";
import { quote } from "./forbidden.ts";
import { type CompiledRule, compileRules } from "./rule.ts";

export interface RbacViews {
  readonly roles: ObjectView<Role>;
  readonly roleBindings: ObjectView<RoleBinding>;
  readonly clusterRoles: ObjectView<ClusterRole>;
  readonly clusterRoleBindings: ObjectView<ClusterRoleBinding>;
}

/** One subject of one binding. */
export interface Grant {
  readonly binding: RoleBinding | ClusterRoleBinding;
  /** "" for a ClusterRoleBinding. */
  readonly namespace: string;
  readonly subject: Subject;
}

/** What a role reference leads to. */
export type RoleRules =
  | { readonly found: true; readonly rules: readonly CompiledRule[] }
  | { readonly found: false; readonly error: string };

const SEPARATOR = "\0";
const NO_GRANTS: ReadonlySet<Grant> = new Set();

export class RbacIndex {
  readonly #views: RbacViews;
  /** "namespace\0User\0name" and "namespace\0Group\0name". ServiceAccounts are filed under their user names. */
  readonly #grants = new Map<string, Set<Grant>>();
  /** A binding's grants, to take them out again. */
  readonly #byBinding = new Map<string, readonly { readonly place: string; readonly grant: Grant }[]>();
  readonly #roles = new Map<string, readonly CompiledRule[]>();

  constructor(views: RbacViews) {
    this.#views = views;
    this.#followRoles(views.roles);
    this.#followRoles(views.clusterRoles);
    this.#followBindings(views.roleBindings, "RoleBinding");
    this.#followBindings(views.clusterRoleBindings, "ClusterRoleBinding");
  }

  get synced(): boolean {
    const { roles, roleBindings, clusterRoles, clusterRoleBindings } = this.#views;
    return roles.synced && roleBindings.synced && clusterRoles.synced && clusterRoleBindings.synced;
  }

  /** Cluster-wide grants of the user, then the namespace's ("" for none). */
  *grantsFor(user: UserInfo, namespace: string): Generator<Grant> {
    yield* this.#grantsIn("", user);
    if (namespace !== "") yield* this.#grantsIn(namespace, user);
  }

  /** The rules of a role reference in a binding of `namespace` ("" for cluster-wide ones). */
  rulesOf(ref: RoleRef, namespace: string): RoleRules {
    const isCluster = ref.kind === "ClusterRole";
    const rules = this.#roles.get(isCluster ? `${SEPARATOR}${ref.name}` : `${namespace}${SEPARATOR}${ref.name}`);
    if (rules !== undefined) return { found: true, rules };
    if (ref.kind !== "Role" && !isCluster)
      return { found: false, error: `unsupported role reference kind: ${quote(ref.kind)}` };
    const resource = isCluster ? "clusterrole" : "role";
    return { found: false, error: `${resource}.rbac.authorization.k8s.io ${quote(ref.name)} not found` };
  }

  *#grantsIn(namespace: string, user: UserInfo): Generator<Grant> {
    yield* this.#grants.get(placeOf(namespace, "User", user.name)) ?? NO_GRANTS;
    for (const group of user.groups) yield* this.#grants.get(placeOf(namespace, "Group", group)) ?? NO_GRANTS;
  }

  #followRoles(view: ObjectView<Role> | ObjectView<ClusterRole>): void {
    const isCluster = view === this.#views.clusterRoles;
    const idOf = (role: Role | ClusterRole) =>
      `${isCluster ? "" : (role.metadata.namespace ?? "")}${SEPARATOR}${role.metadata.name ?? ""}`;
    view.subscribe({
      set: (role: Role | ClusterRole) => {
        this.#roles.set(idOf(role), compileRules(role.rules));
      },
      deleted: (role: Role | ClusterRole) => {
        this.#roles.delete(idOf(role));
      },
      reset: () => {
        for (const id of [...this.#roles.keys()]) if (id.startsWith(SEPARATOR) === isCluster) this.#roles.delete(id);
      },
    });
  }

  #followBindings(view: ObjectView<RoleBinding> | ObjectView<ClusterRoleBinding>, kind: string): void {
    const idOf = (binding: RoleBinding | ClusterRoleBinding) =>
      [kind, binding.metadata.namespace ?? "", binding.metadata.name ?? ""].join(SEPARATOR);
    view.subscribe({
      set: (binding: RoleBinding | ClusterRoleBinding) => {
        this.#remove(idOf(binding));
        this.#add(idOf(binding), binding);
      },
      deleted: (binding: RoleBinding | ClusterRoleBinding) => this.#remove(idOf(binding)),
      reset: () => {
        for (const id of [...this.#byBinding.keys()]) if (id.startsWith(`${kind}${SEPARATOR}`)) this.#remove(id);
      },
    });
  }

  #add(id: string, binding: RoleBinding | ClusterRoleBinding): void {
    const namespace = binding.metadata.namespace ?? "";
    const filed: { place: string; grant: Grant }[] = [];
    for (const subject of binding.subjects ?? []) {
      const place = placeOfSubject(namespace, subject);
      if (place === undefined) continue;
      const grant = { binding, namespace, subject };
      filed.push({ place, grant });
      const grants = this.#grants.get(place);
      if (grants === undefined) this.#grants.set(place, new Set([grant]));
      else grants.add(grant);
    }
    this.#byBinding.set(id, filed);
  }

  #remove(id: string): void {
    for (const { place, grant } of this.#byBinding.get(id) ?? []) {
      const grants = this.#grants.get(place);
      if (grants?.delete(grant) === true && grants.size === 0) this.#grants.delete(place);
    }
    this.#byBinding.delete(id);
  }
}

function placeOf(namespace: string, kind: "User" | "Group", name: string): string {
  return `${namespace}${SEPARATOR}${kind}${SEPARATOR}${name}`;
}

/** undefined for a subject that can match nobody. */
function placeOfSubject(namespace: string, subject: Subject): string | undefined {
  switch (subject.kind) {
    case "User":
    case "Group":
      return placeOf(namespace, subject.kind, subject.name);
    case "ServiceAccount": {
      const home = subject.namespace === undefined || subject.namespace === "" ? namespace : subject.namespace;
      return home === ""
        ? undefined
        : placeOf(namespace, "User", `${SERVICE_ACCOUNT_USER_PREFIX}${home}:${subject.name}`);
    }
    default:
      return undefined;
  }
}

/** `ClusterRoleBinding "x" of ClusterRole "y" to User "z"`. Source: k8s.io/kubernetes/pkg/registry/rbac/validation/rule.go */
export function describeGrant({ binding, namespace, subject }: Grant): string {
  const { name = "" } = binding.metadata;
  const [kind, shown] = namespace === "" ? ["ClusterRoleBinding", name] : ["RoleBinding", `${name}/${namespace}`];
  const { roleRef } = binding;
  return `${kind} ${quote(shown)} of ${roleRef.kind} ${quote(roleRef.name)} to ${describeSubject(subject, namespace)}`;
}

function describeSubject(subject: Subject, bindingNamespace: string): string {
  if (subject.kind !== "ServiceAccount") return `${subject.kind} ${quote(subject.name)}`;
  const home = subject.namespace === undefined || subject.namespace === "" ? bindingNamespace : subject.namespace;
  return `${subject.kind} ${quote(`${subject.name}/${home}`)}`;
}
