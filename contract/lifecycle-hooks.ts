// Names of the Auto Scaling group's lifecycle hooks. The deployment makes them; each instance completes its own.

/** Completed when the instance is ready to take mail. */
export const LAUNCH_HOOK = 'launch'
/** Completed when the instance has drained. */
export const TERMINATE_HOOK = 'terminate'
