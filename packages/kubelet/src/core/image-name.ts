/** Image references as pods write them. Pure. Source: distribution's reference grammar. */
import { ContainerConfigError } from "./config-error.ts";

const COMPONENT = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
const HOST = "(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\\[[0-9a-fA-F:]+\\])(?::[0-9]+)?";
const REFERENCE = new RegExp(
  `^(?:(?:${HOST})/)?${COMPONENT}(?:/${COMPONENT})*(?::([A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(@[A-Za-z][A-Za-z0-9]*(?:[+._-][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?$`,
);

/** The reference with ":latest" where it names neither tag nor digest. Throws InvalidImageName. */
export function withDefaultTag(image: string): string {
  const match = REFERENCE.exec(image);
  if (match === null) {
    throw new ContainerConfigError(
      `Failed to apply default image tag "${image}": couldn't parse image name "${image}": invalid reference format`,
      "InvalidImageName",
    );
  }
  return match[1] === undefined && match[2] === undefined ? `${image}:latest` : image;
}

export type PullPolicy = "Always" | "IfNotPresent" | "Never";

/** The policy, with upstream's default for pods that did not pass through the API. */
export function pullPolicy(image: string, policy: string | undefined): PullPolicy {
  if (policy === "Always" || policy === "IfNotPresent" || policy === "Never") return policy;
  const match = REFERENCE.exec(image);
  return match?.[2] === undefined && (match?.[1] ?? "latest") === "latest" ? "Always" : "IfNotPresent";
}
