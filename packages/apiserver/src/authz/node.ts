/**
 * The Node authorizer: what a kubelet may do, narrowed to the objects of its own pods. It speaks only of users system:node:NAME in the
 * group system:nodes and never denies.
 * Source: docs reference/access-authn-authz/node; decisions and reasons after k8s.io/kubernetes/plugin/pkg/auth/authorizer/node
 */
import { NODE_USER_PREFIX, NODES_GROUP, type UserInfo } from "../authn/types.ts";
import { nodeRules } from "./bootstrap-policy/node-rules.ts";
import { quote } from "./forbidden.ts";
import type { NodeGraph } from "./node-graph.ts";
import { compileRules } from "./rule.ts";
import type {
  Authorizer,
  AuthorizerAttributes,
  Decision,
  ResourceAttributes,
  RuleResolver,
  UserRules,
} from "./types.ts";

const ALLOWED: Decision = { verdict: "allowed", reason: "" };
const NODE_LEASES = "kube-node-lease";

function no(reason: string): Decision {
  return { verdict: "no-opinion", reason };
}

/** The node's name if the user is a kubelet; "" for a kubelet that says no name; undefined for everybody else. */
export function nodeNameOf(user: UserInfo): string | undefined {
  if (!user.name.startsWith(NODE_USER_PREFIX) || !user.groups.includes(NODES_GROUP)) return undefined;
  return user.name.slice(NODE_USER_PREFIX.length);
}

export class NodeAuthorizer implements Authorizer, RuleResolver {
  readonly #graph: NodeGraph;
  readonly #rules = compileRules(nodeRules);

  constructor(graph: NodeGraph) {
    this.#graph = graph;
  }

  authorize(attributes: AuthorizerAttributes): Decision {
    const node = nodeNameOf(attributes.user);
    if (node === undefined) return no("");
    if (node === "") return no(`unknown node for user ${quote(attributes.user.name)}`);
    const special = attributes.kind === "resource" ? this.#authorizeObject(node, attributes) : undefined;
    if (special !== undefined) return special;
    return this.#rules.some((rule) => rule.allows(attributes)) ? ALLOWED : no("");
  }

  /** A node's rights depend on its pods: they cannot be told as rules. */
  rulesFor(user: UserInfo): UserRules {
    if (nodeNameOf(user) === undefined) return { rules: [], incomplete: false, errors: [] };
    return { rules: [], incomplete: true, errors: ["node authorizer does not support user rule resolution"] };
  }

  /** undefined for resources on which all nodes have the same rights. */
  #authorizeObject(node: string, request: ResourceAttributes): Decision | undefined {
    const { namespace, name } = request;
    const related = (isRelated: boolean) => this.#related(node, name, isRelated);
    const holds = (kind: Parameters<NodeGraph["hasReference"]>[1]) =>
      this.#graph.hasReference(node, kind, namespace, name);
    switch (request.apiGroup === "" ? request.resource : `${request.resource}.${request.apiGroup}`) {
      case "secrets":
        return readOne(request) ?? related(holds("secret"));
      case "configmaps":
        return readOne(request) ?? related(holds("configmap"));
      case "persistentvolumeclaims":
        return (request.subresource === "status" ? updateStatus(request) : getOne(request)) ?? related(holds("pvc"));
      case "persistentvolumes":
        return getOne(request) ?? related(this.#graph.hasVolume(node, name));
      case "resourceclaims.resource.k8s.io":
        return getOne(request) ?? related(holds("resourceclaim"));
      case "volumeattachments.storage.k8s.io":
        return getOne(request) ?? related(this.#graph.hasAttachment(node, name));
      case "serviceaccounts":
        return useServiceAccount(request) ?? related(holds("serviceaccount"));
      case "leases.coordination.k8s.io":
        return ownLease(node, request);
      case "csinodes.storage.k8s.io":
        return ownCsiNode(node, request);
      case "resourceslices.resource.k8s.io":
        return this.#slice(node, request);
      case "nodes":
        return ownNode(node, request);
      case "pods":
        return this.#pod(node, request);
      default:
        return undefined;
    }
  }

  #related(node: string, name: string, isRelated: boolean): Decision {
    if (name === "") return no("No Object name found");
    if (isRelated) return ALLOWED;
    if (!this.#graph.synced) return { ...no("the node authorizer's view is not loaded yet"), notLoaded: true };
    return no(`no relationship found between node '${node}' and this object`);
  }

  #slice(node: string, request: ResourceAttributes): Decision {
    if (request.subresource !== "") return no("cannot authorize ResourceSlice subresources");
    switch (request.verb) {
      case "create":
        // NodeRestriction checks that the slice names this node.
        return ALLOWED;
      case "get":
      case "update":
      case "patch":
      case "delete":
        return this.#related(node, request.name, this.#graph.hasSlice(node, request.name));
      case "list":
      case "watch":
      case "deletecollection":
        if (selects(request, "spec.nodeName", node) || selects(request, "nodeName", node)) return ALLOWED;
        return no("can only list/watch/deletecollection resourceslices with nodeName field selector");
      default:
        return no(
          "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection",
        );
    }
  }

  #pod(node: string, request: ResourceAttributes): Decision {
    const { verb, subresource, namespace, name } = request;
    const isOwn = () => this.#graph.hasReference(node, "pod", namespace, name);
    switch (`${verb} ${subresource}`) {
      case "get ":
        return this.#related(node, name, isOwn());
      case "list ":
      case "watch ":
        if (selects(request, "spec.nodeName", node)) return ALLOWED;
        if (name !== "") return this.#related(node, name, isOwn());
        return no("can only list/watch pods with spec.nodeName field selector");
      // Mirror pods, reports and evictions: NodeRestriction narrows them to the node's own pods.
      case "create ":
      case "delete ":
      case "update status":
      case "patch status":
      case "create eviction":
        return ALLOWED;
      default:
        return no("");
    }
  }
}

/** Whether the request selects `field` = `value`, and so sees nothing else. */
function selects(request: ResourceAttributes, field: string, value: string): boolean {
  return (request.fieldSelector ?? []).some(
    ({ key, operator, values }) =>
      key === field && (operator === "=" || operator === "In") && values.length === 1 && values[0] === value,
  );
}

function isOneOf(verb: string, verbs: readonly string[]): boolean {
  return verbs.includes(verb);
}

/** These return a refusal, or undefined: then the relation decides. */
function readOne({ verb, subresource, namespace }: ResourceAttributes): Decision | undefined {
  if (!isOneOf(verb, ["get", "list", "watch"])) return no("can only read resources of this type");
  if (subresource !== "") return no("cannot read subresource");
  return namespace === "" ? no("can only read namespaced object of this type") : undefined;
}

function getOne({ verb, subresource }: ResourceAttributes): Decision | undefined {
  if (verb !== "get") return no("can only get individual resources of this type");
  return subresource === "" ? undefined : no("cannot get subresource");
}

function updateStatus({ verb }: ResourceAttributes): Decision | undefined {
  return isOneOf(verb, ["update", "patch"]) ? undefined : no("can only get/update/patch this type");
}

/** Reading the account is for image credential providers. Source: KEP-4412 */
function useServiceAccount({ verb, subresource, name }: ResourceAttributes): Decision | undefined {
  if (verb === "get" && subresource === "") return undefined;
  if (verb !== "create" || name === "") return no("can only create tokens for individual service accounts");
  return subresource === "token" ? undefined : no("can only create token subresource of serviceaccount");
}

const OWN_VERBS = ["get", "create", "update", "patch", "delete"];

function ownLease(node: string, { verb, namespace, name }: ResourceAttributes): Decision {
  if (!isOneOf(verb, OWN_VERBS)) return no("can only get, create, update, patch, or delete a node lease");
  if (namespace !== NODE_LEASES) return no(`can only access leases in the ${quote(NODE_LEASES)} system namespace`);
  // The name of a created object is in its body: NodeRestriction looks there.
  if (verb === "create" || name === node) return ALLOWED;
  return no("can only access node lease with the same name as the requesting node");
}

function ownCsiNode(node: string, { verb, subresource, name }: ResourceAttributes): Decision {
  if (!isOneOf(verb, OWN_VERBS)) return no("can only get, create, update, patch, or delete a CSINode");
  if (subresource !== "") return no("cannot authorize CSINode subresources");
  if (verb === "create" || name === node) return ALLOWED;
  return no("can only access CSINode with the same name as the requesting node");
}

function ownNode(node: string, { verb, subresource, name }: ResourceAttributes): Decision {
  // NodeRestriction narrows writes to the node's own object.
  if (subresource === "" && isOneOf(verb, ["create", "update", "patch"])) return ALLOWED;
  if (subresource === "status" && isOneOf(verb, ["update", "patch"])) return ALLOWED;
  if (subresource !== "" || !isOneOf(verb, ["get", "list", "watch"])) return no("");
  if (name === node) return ALLOWED;
  if (name === "") return no(`node '${node}' cannot read all nodes, only its own Node object`);
  return no(`node '${node}' cannot read '${name}', only its own Node object`);
}
