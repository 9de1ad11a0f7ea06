// Names inside the fleet's bucket that queue, role and instances agree on.

/** Bodies too large for an SQS message. */
export const BODIES_PREFIX = 'bodies/'
/** The routes that instances follow. */
export const ROUTES_KEY = 'routes.yaml'
