/** What both ends of the echo agree on. Messages are bytes, so that nothing is spent on encoding. */

export const echoPath = '/bench.Echo/Echo';

/** About what the two frames of a forwarded call weigh, a call and its result. */
export const messageBytes = 64;

/** @param {Buffer} bytes */
export const identity = (bytes) => bytes;
