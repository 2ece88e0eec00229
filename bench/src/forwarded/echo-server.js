/** Answers each unary call with what it was sent: the other process of a call over gRPC alone. */
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { echoPath, identity } from './echo.js';

const server = new Server();
server.addService(
  {
    echo: {
      path: echoPath,
      requestStream: false,
      responseStream: false,
      requestSerialize: identity,
      requestDeserialize: identity,
      responseSerialize: identity,
      responseDeserialize: identity,
    },
  },
  {
    echo: (
      /** @type {import('@grpc/grpc-js').ServerUnaryCall<Buffer, Buffer>} */ call,
      /** @type {import('@grpc/grpc-js').sendUnaryData<Buffer>} */ reply,
    ) => reply(null, call.request),
  },
);
server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  process.send?.({ port });
});
process.on('disconnect', () => process.exit());
