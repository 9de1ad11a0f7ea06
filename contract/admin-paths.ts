// The paths that an instance's admin endpoint serves, and that load balancer, supervisor and boot test ask.

/** 200 when the instance itself works. */
export const HEALTH_PATH = '/healthz'
/** 200 when the instance takes mail now. */
export const READY_PATH = '/readyz'
/** Prometheus' text format; see server-metric-names.ts. */
export const METRICS_PATH = '/metrics'
