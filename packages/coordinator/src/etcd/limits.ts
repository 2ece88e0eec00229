/** The bounds of the etcd adapter. Each can be set; units are in the names. */
export interface EtcdLimits {
  /** One request to etcd; after it the outcome counts as unknown. */
  readonly requestTimeoutMs: number;
  /** One operation of the port with all its repeats. */
  readonly operationTimeoutMs: number;
  /** From start to the first session. */
  readonly startTimeoutMs: number;
  /** Pause after a failure; doubles up to `retryMaxMs`. */
  readonly retryMs: number;
  readonly retryMaxMs: number;
  /** Claims in one transaction: etcd takes 128 operations, and checks nested ones together. */
  readonly claimsPerTransactionMax: number;
  /** Transactions of claims under way; all but the first are full ones. */
  readonly claimTransactionsMax: number;
  /** Claims that wait for a transaction; more are refused as overloaded. */
  readonly claimsWaitingMax: number;
  /** Requests to etcd under way; more are refused as overloaded. */
  readonly requestsMax: number;
  /** Between two raises of the store's witness: a backup older than that is noticed by every node. */
  readonly witnessIntervalMs: number;
  /** Shards changed in one transaction. */
  readonly assignMax: number;
  /** One answer of etcd: all nodes and all shards together come in one. */
  readonly answerBytesMax: number;
}

const mebibyte = 1024 * 1024;

export const etcdLimits: EtcdLimits = {
  requestTimeoutMs: 2000,
  operationTimeoutMs: 5000,
  startTimeoutMs: 30_000,
  retryMs: 50,
  retryMaxMs: 1000,
  claimsPerTransactionMax: 40,
  claimTransactionsMax: 4,
  claimsWaitingMax: 100_000,
  requestsMax: 10_000,
  witnessIntervalMs: 10_000,
  assignMax: 100,
  answerBytesMax: 64 * mebibyte,
};
