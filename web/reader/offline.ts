// The page's side of offline/service-worker.ts.

export type Offline = 'ready' | 'unsupported' | 'failed';

function settled(worker: ServiceWorker): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (worker.state !== 'activated' && worker.state !== 'redundant') return;
      worker.removeEventListener('statechange', look);
      resolve();
    };
    worker.addEventListener('statechange', look);
    look();
  });
}

/**
 * Keeps the page for use without a network. Resolves when it is kept. A newer version that waits takes over here, at the
 * start and with a reload, where this is its only window: never under a page that is in use.
 */
export async function keepOffline(): Promise<Offline> {
  // Absent where the page is not served securely.
  const { serviceWorker } = navigator as { readonly serviceWorker?: ServiceWorkerContainer };
  if (serviceWorker === undefined) return 'unsupported';
  try {
    const known = await serviceWorker.getRegistration();
    if (known?.waiting && serviceWorker.controller !== null) {
      serviceWorker.addEventListener('controllerchange', () => {
        location.reload();
      });
      known.waiting.postMessage('take-over');
    }
    // Without a network the registration that is there stays as it is.
    const registration = await serviceWorker.register('service-worker.js').catch((error: unknown) => {
      if (known === undefined) throw error;
      return known;
    });
    if (registration.active === null) {
      const coming = registration.installing ?? registration.waiting;
      if (coming !== null) await settled(coming);
    }
    return registration.active === null ? 'failed' : 'ready';
  } catch {
    return 'failed';
  }
}
