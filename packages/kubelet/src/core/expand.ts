import { ContainerConfigError } from "./config-error.ts";

/**
 * $(NAME) in commands, arguments and environment values. Pure.
 *   "$(A)-$$(A)-$(B)" with A=x gives "x-$(A)-$(B)": unknown names stay as they are, $$ is a plain $.
 * Source: kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables
 */
export function expandVariables(text: string, variables: ReadonlyMap<string, string>): string {
  return expand(text, (name, whole) => variables.get(name) ?? whole);
}

/** subPathExpr: as above, but a name without a value is an error, or the volume's root would be mounted at a guess. */
export function expandSubPath(text: string, variables: ReadonlyMap<string, string>): string {
  const missing: string[] = [];
  const path = expand(text, (name, whole) => {
    const value = variables.get(name);
    if (value === undefined) missing.push(name);
    return value ?? whole;
  });
  if (missing.length > 0) throw new ContainerConfigError(`missing value for "${missing.join(", ")}"`);
  return path;
}

function expand(text: string, lookUp: (name: string, whole: string) => string): string {
  return text.replaceAll(/\$(\$|\(([^)]*)\))/g, (whole, first: string, name: string | undefined) => {
    return first === "$" ? "$" : lookUp(name ?? "", whole);
  });
}
