/**
 * Errors that a user can act on. The command line prints their message as one line and exits with `exitCode`; everything else that
 * is thrown is a defect of the program and keeps its stack.
 */
export class SparrowError extends Error {
  readonly exitCode: number = 1;
  override name = 'SparrowError';
}

/** Wrong usage: an unknown flag, a value out of range. Exit code 2. */
export class UsageError extends SparrowError {
  override readonly exitCode = 2;
  override name = 'UsageError';
}

/** A file or folder that cannot be used as asked: missing, truncated, of another format. The message names it. */
export class FileError extends SparrowError {
  override name = 'FileError';
}
