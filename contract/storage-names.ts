// Keys of objects in the fleet's bucket: the deployment grants access to them; the server reads and writes them.

/** Message bodies that are too large for an SQS message. */
export const BODIES_PREFIX = 'bodies/'
/** The routes file. */
export const ROUTES_KEY = 'routes.yaml'
