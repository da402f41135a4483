import { defineConfig } from 'vitest/config';

// One worker at a time: a software adapter already uses every core, and a test's device should be alone on it.
export default defineConfig({
  test: {
    include: process.env.SPARROW_TEST_FULL ? ['test/**/*.test.ts'] : ['test/**/!(*.slow).test.ts'],
    exclude: ['node_modules/**', ...(process.env.SPARROW_TEST_FULL ? [] : ['test/**/*.slow.test.ts'])],
    globalSetup: 'test/command.ts',
    env: { SPARROW_TUNE: 'off' }, // what was measured on this machine must not decide which kernels are tested
    pool: 'forks',
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
