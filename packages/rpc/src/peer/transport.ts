/**
 * How the two ends of a link use gRPC: the method, the credentials, the options of channels.
 *
 * The method's messages are bytes: frames (frames.ts), the first of each direction a handshake.
 *
 * Trust is the cluster's CA: both ends show a certificate that it signed. Which names stand in the
 * certificate is not looked at: nodes are not found by host names, and may share one certificate.
 */
import { createSecureContext } from 'node:tls';
import {
  ChannelCredentials,
  type ChannelOptions,
  Client,
  type ClientDuplexStream,
  ServerCredentials,
  type ServiceDefinition,
  status,
} from '@grpc/grpc-js';
import { frameBytesLimit, type PeerLimits } from './limits.ts';

/** The peer will take no link before somebody changes a configuration. */
export const refusedStatus = status.FAILED_PRECONDITION;
/** The peer lives, and takes no link yet, or not this one. */
export const notNowStatus = status.ABORTED;

const path = '/homing.peer.v1.Peer/Link';
/** Each connection carries one link; the rest is for implementations that share it. */
const streamsOfConnectionMax = 4;
/** For SNI, where an address does not do. */
const tlsName = 'peer.homing.internal';

export type PeerTls =
  | { readonly ca: Buffer; readonly cert: Buffer; readonly key: Buffer }
  | 'insecure';

const identity = (bytes: Buffer): Buffer => bytes;

export const peerService = {
  link: {
    path,
    requestStream: true,
    responseStream: true,
    requestSerialize: identity,
    requestDeserialize: identity,
    responseSerialize: identity,
    responseDeserialize: identity,
  },
} satisfies ServiceDefinition;

const messageOptions = {
  'grpc.max_receive_message_length': frameBytesLimit,
  'grpc.max_send_message_length': frameBytesLimit,
  'grpc.enable_channelz': 0,
} satisfies ChannelOptions;

export const serverOptions = {
  ...messageOptions,
  'grpc.max_concurrent_streams': streamsOfConnectionMax,
} satisfies ChannelOptions;

export function serverCredentials(tls: PeerTls): ServerCredentials {
  if (tls === 'insecure') return ServerCredentials.createInsecure();
  return ServerCredentials.createSsl(
    tls.ca,
    [{ cert_chain: tls.cert, private_key: tls.key }],
    true,
  );
}

export function channelCredentials(tls: PeerTls): ChannelCredentials {
  if (tls === 'insecure') return ChannelCredentials.createInsecure();
  const { ca, cert, key } = tls;
  const context = createSecureContext({ ca, cert, key, minVersion: 'TLSv1.2' });
  return ChannelCredentials.createFromSecureContext(context, {
    checkServerIdentity: () => undefined,
  });
}

export interface Channel {
  readonly stream: ClientDuplexStream<Buffer, Buffer>;
  /** Ends the stream and its connection. */
  close(): void;
}

/**
 * Begins to connect. Each attempt has a channel of its own: when to try again is the dialer's to
 * decide, and a channel that failed has a back-off of its own.
 */
export function openChannel(
  address: string,
  credentials: ChannelCredentials,
  limits: PeerLimits,
): Channel {
  const client = new Client(`dns:${address}`, credentials, {
    ...messageOptions,
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_http_proxy': 0,
    'grpc.service_config_disable_resolution': 1,
    'grpc.ssl_target_name_override': tlsName,
    'grpc-node.flow_control_window': limits.flowWindowBytes,
    // A write counts as done when it is copied into the buffer for retries, which has no use here.
    'grpc.enable_retries': 0,
    'grpc.per_rpc_retry_buffer_size': 0,
  });
  const stream = client.makeBidiStreamRequest(path, identity, identity);
  return {
    stream,
    close() {
      stream.cancel();
      client.close();
    },
  };
}
