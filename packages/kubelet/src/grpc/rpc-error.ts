/** A call to a plugin that failed; the message is as Go's clients write it. Apart, for those who don't load gRPC themselves. */
export class RpcError extends Error {}
