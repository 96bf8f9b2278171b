/** The Kubernetes version whose behaviour this is, marked as ours: what daemons answer to --version. */
export const KNARR_VERSION = "v1.36.0+knarr";
