/**
 * $(NAME) in commands, arguments and environment values. Pure.
 *   "$(A)-$$(A)-$(B)" with A=x gives "x-$(A)-$(B)": unknown names stay as they are, $$ is a plain $.
 * Source: kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables
 */
export function expandVariables(text: string, variables: ReadonlyMap<string, string>): string {
  return text.replaceAll(/\$(\$|\(([^)]*)\))/g, (whole, first: string, name: string | undefined) => {
    if (first === "$") return "$";
    return variables.get(name ?? "") ?? whole;
  });
}
