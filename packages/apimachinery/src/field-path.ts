/**
 * Paths of fields as messages name them: `spec.containers[0].ports[1].name`. Plain strings: a path is only read by people
 * and built where something is wrong. Source: k8s.io/apimachinery/pkg/util/validation/field/path.go
 */

/** `spec` + `containers` -> `spec.containers`; the root is "". */
export function childPath(parent: string, ...names: readonly string[]): string {
  let path = parent;
  for (const name of names) path = path === "" ? name : `${path}.${name}`;
  return path;
}

/** `spec.containers` + 0 -> `spec.containers[0]`. */
export function indexPath(parent: string, index: number): string {
  return `${parent}[${index}]`;
}

/** `metadata.labels` + a/b -> `metadata.labels[a/b]`; the key stands as it is. */
export function keyPath(parent: string, key: string): string {
  return `${parent}[${key}]`;
}

/** Names and indices in turn: `fieldPath("spec", "containers", 0, "name")`. */
export function fieldPath(...steps: readonly (string | number)[]): string {
  let path = "";
  for (const step of steps) path = typeof step === "number" ? indexPath(path, step) : childPath(path, step);
  return path;
}
