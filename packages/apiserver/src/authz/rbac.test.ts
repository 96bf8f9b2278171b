import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type {
  ClusterRole,
  ClusterRoleBinding,
  Role,
  RoleBinding,
  Subject,
} from "@knarr/api/generated/types/rbac-v1.ts";
import type { UserInfo } from "../authn/types.ts";
import { FakeView } from "./fake-view.ts";
import { RbacAuthorizer } from "./rbac.ts";
import type { ResourceAttributes } from "./types.ts";

const rules = [{ verbs: ["get"], apiGroups: [""], resources: ["pods"] }];
const clusterRole = (name: string): ClusterRole => ({ metadata: { name }, rules });
const role = (namespace: string, name: string): Role => ({ metadata: { namespace, name }, rules });
const clusterBinding = (name: string, roleName: string, subjects: Subject[]): ClusterRoleBinding => ({
  metadata: { name },
  roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: roleName },
  subjects,
});
const binding = (
  namespace: string,
  name: string,
  kind: string,
  roleName: string,
  subjects: Subject[],
): RoleBinding => ({
  metadata: { namespace, name },
  roleRef: { apiGroup: "rbac.authorization.k8s.io", kind, name: roleName },
  subjects,
});
const person = (name: string, ...groups: string[]): UserInfo => ({ name, uid: "", groups, extra: {} });
const getPods = (user: UserInfo, namespace = "default"): ResourceAttributes => ({
  kind: "resource",
  user,
  verb: "get",
  apiGroup: "",
  apiVersion: "v1",
  resource: "pods",
  subresource: "",
  namespace,
  name: "web",
});

function cluster() {
  const views = {
    roles: new FakeView<Role>([role("default", "reader")]),
    roleBindings: new FakeView<RoleBinding>([
      binding("default", "b1", "Role", "reader", [{ kind: "User", name: "rita" }]),
      binding("default", "b2", "ClusterRole", "viewer", [{ kind: "ServiceAccount", name: "bot" }]),
      binding("shop", "b3", "ClusterRole", "viewer", [{ kind: "ServiceAccount", name: "bot", namespace: "default" }]),
      binding("default", "b4", "Role", "gone", [{ kind: "User", name: "lost" }]),
    ]),
    clusterRoles: new FakeView<ClusterRole>([clusterRole("viewer")]),
    clusterRoleBindings: new FakeView<ClusterRoleBinding>([
      clusterBinding("c1", "viewer", [{ kind: "User", name: "carl" }]),
      clusterBinding("c2", "viewer", [{ kind: "Group", name: "devs" }]),
      clusterBinding("c3", "nowhere", [{ kind: "User", name: "lost" }]),
    ]),
  };
  return { views, rbac: new RbacAuthorizer(views) };
}

describe("RbacAuthorizer.authorize()", () => {
  const rows: readonly { name: string; user: UserInfo; namespace?: string; want: string; reason: string }[] = [
    {
      name: "a ClusterRoleBinding names the user",
      user: person("carl"),
      namespace: "any",
      want: "allowed",
      reason: 'RBAC: allowed by ClusterRoleBinding "c1" of ClusterRole "viewer" to User "carl"',
    },
    {
      name: "a ClusterRoleBinding names a group",
      user: person("dora", "devs"),
      want: "allowed",
      reason: 'RBAC: allowed by ClusterRoleBinding "c2" of ClusterRole "viewer" to Group "devs"',
    },
    {
      name: "a RoleBinding names the user",
      user: person("rita"),
      want: "allowed",
      reason: 'RBAC: allowed by RoleBinding "b1/default" of Role "reader" to User "rita"',
    },
    { name: "the RoleBinding is elsewhere", user: person("rita"), namespace: "shop", want: "no-opinion", reason: "" },
    {
      name: "a ServiceAccount subject has no namespace: the binding's counts",
      user: person("system:serviceaccount:default:bot"),
      want: "allowed",
      reason: 'RBAC: allowed by RoleBinding "b2/default" of ClusterRole "viewer" to ServiceAccount "bot/default"',
    },
    {
      name: "a ServiceAccount subject is of another namespace",
      user: person("system:serviceaccount:default:bot"),
      namespace: "shop",
      want: "allowed",
      reason: 'RBAC: allowed by RoleBinding "b3/shop" of ClusterRole "viewer" to ServiceAccount "bot/default"',
    },
    {
      name: "roles are missing",
      user: person("lost"),
      want: "no-opinion",
      reason:
        'RBAC: [clusterrole.rbac.authorization.k8s.io "nowhere" not found, role.rbac.authorization.k8s.io "gone" not found]',
    },
    { name: "nobody speaks of the user", user: person("nobody"), want: "no-opinion", reason: "" },
  ];
  for (const row of rows) {
    test(`answers ${row.want} when ${row.name}`, () => {
      const decision = cluster().rbac.authorize(getPods(row.user, row.namespace));
      assert.deepEqual(decision, { verdict: row.want, reason: row.reason });
    });
  }

  test("follows changes of roles and bindings", () => {
    const { views, rbac } = cluster();
    const zoe = person("zoe");
    const can = () => rbac.authorize(getPods(zoe)).verdict;
    views.clusterRoleBindings.set(clusterBinding("z", "later", [{ kind: "User", name: "zoe" }]));
    assert.equal(can(), "no-opinion");
    views.clusterRoles.set(clusterRole("later"));
    assert.equal(can(), "allowed");
    views.clusterRoles.set({ ...clusterRole("later"), rules: [] } as ClusterRole);
    assert.equal(can(), "no-opinion");
    views.clusterRoles.set(clusterRole("later"));
    views.clusterRoleBindings.set(clusterBinding("z", "later", [{ kind: "User", name: "other" }]));
    assert.equal(can(), "no-opinion");
    views.clusterRoleBindings.set(clusterBinding("z", "later", [{ kind: "User", name: "zoe" }]));
    views.clusterRoleBindings.delete({ namespace: "", name: "z" });
    assert.equal(can(), "no-opinion");
  });

  test("forgets what a relist no longer has, of that kind only", () => {
    const { views, rbac } = cluster();
    views.clusterRoleBindings.replace([]);
    assert.equal(rbac.authorize(getPods(person("carl"))).verdict, "no-opinion");
    assert.equal(rbac.authorize(getPods(person("rita"))).verdict, "allowed");
    views.roles.replace([]);
    assert.equal(rbac.authorize(getPods(person("rita"))).verdict, "no-opinion");
    assert.equal(rbac.authorize(getPods(person("system:serviceaccount:default:bot"))).verdict, "allowed");
  });

  test("says that it does not know yet when the views are not loaded", () => {
    const { views, rbac } = cluster();
    views.roles.synced = false;
    assert.deepEqual(rbac.authorize(getPods(person("nobody"))), {
      verdict: "no-opinion",
      reason: "RBAC: the roles are not loaded yet",
      notLoaded: true,
    });
  });
});

test("RbacAuthorizer.rulesFor() lists what holds in the namespace, with what could not be found", () => {
  const { rbac } = cluster();
  assert.deepEqual(rbac.rulesFor(person("carl", "devs"), "default").rules, [...rules, ...rules]);
  assert.deepEqual(rbac.rulesFor(person("rita"), "shop").rules, []);
  assert.deepEqual(rbac.rulesFor(person("lost"), "").errors, [
    'clusterrole.rbac.authorization.k8s.io "nowhere" not found',
  ]);
});
