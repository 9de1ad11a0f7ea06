// Prometheus metrics of the server that another program reads: the supervisor's control loop and the boot test.
// server/metrics.ts defines these and all others.

/** Counter: messages that the server accepted with a 250. */
export const ACCEPTED_METRIC = 'mailfleet_messages_accepted_total'
/** Counter: messages refused that another instance could have taken. */
export const REFUSED_FOR_LOAD_METRIC = 'mailfleet_refused_demand_total'
/** Counter: refusals because something is full or broken. */
export const REFUSED_FOR_FAULT_METRIC = 'mailfleet_refused_faults_total'

/** Gauges of the shared queue. Every instance of an embedded fleet reports the same values. */
export const QUEUE_READY_METRIC = 'mailfleet_queue_ready'
export const QUEUE_IN_FLIGHT_METRIC = 'mailfleet_queue_in_flight'
export const QUEUE_DEFERRED_METRIC = 'mailfleet_queue_deferred'
export const QUEUE_OLDEST_READY_METRIC = 'mailfleet_queue_oldest_ready_seconds'
