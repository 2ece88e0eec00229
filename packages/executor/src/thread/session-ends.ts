/**
 * Why sessions and stateless contexts end in the ordinary way. Made once: an end comes with every
 * request, and an error's stack trace costs more than the rest of it.
 */
import { HomingError } from '@homing/base';

export const callerEnded = new HomingError('cancelled', 'the caller ended the session');
export const requestOver = new HomingError('cancelled', 'the request is over');
