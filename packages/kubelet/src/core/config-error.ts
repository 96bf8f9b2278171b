/** A container that cannot be made as its pod describes it: shown as its waiting reason and in an event, then retried. */
export class ContainerConfigError extends Error {
  readonly reason: string;
  constructor(message: string, reason = "CreateContainerConfigError") {
    super(message);
    this.name = "ContainerConfigError";
    this.reason = reason;
  }
}
