/** A thread of a checkout: registers the TypeScript loader, then runs the module whose URL is its `workerData`. */
import { workerData } from 'node:worker_threads';
import { register } from 'tsx/esm/api';

register();
await import(workerData);
