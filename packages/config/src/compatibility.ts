/**
 * Compatibility dates and flags: which of the platform's behaviours a worker was written for.
 *
 * A flag is in force from its date on; `compatibility_flags` can bring it in earlier or switch it
 * off by its disabling name. Only the flags that change something homing implements are known.
 */

interface FlagSpec {
  /** In force for compatibility dates from this one on; undefined: only when asked for. */
  readonly from: string | undefined;
  /** The name that switches it off. */
  readonly off: string;
}

const flags = {
  durable_object_fetch_requires_full_url: {
    from: '2021-11-10',
    off: 'durable_object_fetch_allows_relative_url',
  },
  web_socket_compression: { from: '2023-08-15', off: 'no_web_socket_compression' },
  fetcher_no_get_put_delete: { from: '2024-03-26', off: 'fetcher_has_get_put_delete' },
  rpc: { from: '2024-04-03', off: 'no_rpc' },
  enable_ctx_exports: { from: '2025-11-17', off: 'disable_ctx_exports' },
  rpc_params_dup_stubs: { from: '2026-01-20', off: 'rpc_params_transfer_stubs' },
  delete_all_deletes_alarm: { from: '2026-02-24', off: 'delete_all_preserves_alarm' },
  websocket_close_reason_byte_limit: {
    from: '2026-03-03',
    off: 'no_websocket_close_reason_byte_limit',
  },
  websocket_standard_binary_type: {
    from: '2026-03-17',
    off: 'no_websocket_standard_binary_type',
  },
  web_socket_auto_reply_to_close: {
    from: '2026-04-07',
    off: 'web_socket_manual_reply_to_close',
  },
  enhanced_error_serialization: { from: '2026-04-21', off: 'legacy_error_serialization' },
  nodejs_compat: { from: undefined, off: 'no_nodejs_compat' },
  nodejs_als: { from: undefined, off: 'no_nodejs_als' },
} as const satisfies Record<string, FlagSpec>;

/** Names that stand for a flag above. */
const aliases: Readonly<Record<string, string>> = { nodejs_compat_v2: 'nodejs_compat' };

export interface Compatibility {
  /** Every known flag, true where it is in force. */
  readonly inForce: Readonly<Record<string, boolean>>;
  /** Flags that were asked for and that homing does not know. */
  readonly unknown: readonly string[];
  /** Flags asked for both ways. */
  readonly contradictory: readonly string[];
}

/** `date` is YYYY-MM-DD: such dates compare as strings. */
export function resolveCompatibility(date: string, asked: readonly string[]): Compatibility {
  const left = new Set(asked.map((name) => aliases[name] ?? name));
  const inForce: Record<string, boolean> = {};
  const contradictory: string[] = [];
  for (const [name, spec] of Object.entries<FlagSpec>(flags)) {
    const on = left.delete(name);
    const off = left.delete(spec.off);
    if (on && off) contradictory.push(name);
    inForce[name] = on || (!off && spec.from !== undefined && date >= spec.from);
  }
  return { inForce, unknown: [...left], contradictory };
}
