// How many instances of the engine speak, and where they run.
import { PocketTTSError } from './errors.js';
import type { Workers } from './host.js';
import type { Duties } from './protocol.js';
import type { PackManifest } from './pack.js';

export interface LayoutOptions {
  /**
   * Instances of the engine that speak a piece of text. 2: one makes the latents of the next frames while the other makes
   * sound of the last ones, in two workers. 1: one does both. `auto` (default): two where it pays, for a model that is
   * large enough and with a second core. The samples are the same.
   */
  readonly instances?: 'auto' | 1 | 2 | undefined;
  /**
   * Throughput: over how many workers, up to 16, the chunks of a long text are spread. One makes the latents of several
   * chunks together, so that the weights of the language model come from memory once for all of them; all of them make
   * sound, each of chunks of its own. The samples are the same and come in order, the first a little later. The workers
   * beyond the first hold the decoder's weights only, an eighth of the 100M model. Default: one chunk after the other.
   */
  readonly parallel?: number | undefined;
  /** Whether one instance gets a worker of its own. Default: in a page, which it would hold up; elsewhere not. */
  readonly worker?: boolean | undefined;
}

export interface Layout {
  /** `here`: in the calling thread. `workers`: one for each of the duties. */
  readonly kind: 'here' | 'workers';
  readonly duties: readonly Duties[];
  /** Instances that speak a piece of text, and those over which the pieces of a text are spread. */
  readonly instances: number;
  readonly parallel: number;
  /** Why, in a few words. */
  readonly reason: string;
  /** When its workers do not start, one instance in the calling thread does instead. */
  readonly optional: boolean;
}

/** Whole models, and the whole of what an instance can do. */
export const EVERYTHING: Duties = { speaks: true, decodes: true, clones: true };

/** Makes voices out of audio, for others to speak with. */
export const CLONER: Duties = { speaks: true, decodes: false, clones: true };

const DECODER: Duties = { speaks: false, decodes: true, clones: false };
const HALVES: readonly Duties[] = [{ ...EVERYTHING, decodes: false }, DECODER];

/** One that speaks, and decoders that help it to make sound. */
function shared(count: number): readonly Duties[] {
  return [EVERYTHING, ...Array.from({ length: count - 1 }, () => DECODER)];
}

/**
 * Multiplications of the language model's transformer in a frame from which on two instances are chosen. Smaller models
 * speak many times faster than one listens, and a second core gains them a quarter at most.
 */
const TWO_FROM = 10e6;

/** Multiplications of the transformer in a frame; 0 when the configuration does not say, which the engine will refuse. */
function work({ config }: PackManifest): number {
  const flow = config['flow_lm'] as Record<string, unknown> | undefined;
  const shape = flow?.['transformer'] as Record<string, unknown> | undefined;
  const number = (field: string): number | undefined =>
    typeof shape?.[field] === 'number' ? shape[field] : undefined;
  const width = number('d_model') ?? 0;
  const attention = number('attn_dim') ?? width;
  const inner = number('dim_feedforward') ?? width * (number('hidden_scale') ?? 0);
  return (number('num_layers') ?? 0) * width * (4 * attention + 2 * inner);
}

/** Decides, and refuses what excludes itself or cannot be had here. */
export function chooseLayout(options: LayoutOptions, manifest: PackManifest, workers: Workers): Layout {
  const { instances = 'auto', parallel = 0, worker } = options;
  const asked = { reason: 'asked for', optional: false };
  if (parallel > 1 || instances === 2) {
    const wanted = parallel > 1 ? `parallel: ${parallel}` : `instances: ${instances}`;
    if (worker === false) throw new PocketTTSError('argument', `${wanted} needs workers, found worker: false`);
    if (!workers.usable()) throw new PocketTTSError('unsupported', `${wanted} needs workers, and there are none here`);
    return parallel > 1
      ? { kind: 'workers', duties: shared(parallel), instances: 1, parallel, reason: 'several chunks at once', optional: false }
      : { kind: 'workers', duties: HALVES, instances: 2, parallel: 1, ...asked };
  }
  if (instances === 1) return alone(worker, workers, asked.reason);
  if (worker === false) return alone(worker, workers, 'without workers');
  if (!workers.usable()) return alone(worker, workers, 'no workers here');
  if (workers.cores() < 2) return alone(worker, workers, 'one core');
  if (work(manifest) < TWO_FROM) return alone(worker, workers, 'small model');
  const reason = 'several cores';
  return { kind: 'workers', duties: HALVES, instances: 2, parallel: 1, reason, optional: worker !== true };
}

/** One instance, in a worker or here. */
function alone(worker: boolean | undefined, workers: Workers, reason: string): Layout {
  if (worker === true && !workers.usable()) {
    throw new PocketTTSError('unsupported', 'worker: true: there are no workers here');
  }
  return worker ?? (workers.usable() && workers.preferred())
    ? { kind: 'workers', duties: [EVERYTHING], instances: 1, parallel: 1, reason, optional: worker !== true }
    : here(reason);
}

/** One instance in the calling thread. */
export function here(reason: string): Layout {
  return { kind: 'here', duties: [EVERYTHING], instances: 1, parallel: 1, reason, optional: false };
}
