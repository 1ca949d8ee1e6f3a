import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

// The server to develop against: a running waybilld, or `npm run fixtures`.
const backend = process.env.WAYBILL_SERVER ?? 'http://127.0.0.1:5174';

export default defineConfig({
  plugins: [react()],
  build: {
    target: 'es2023',
    // Nothing is inlined as a data: address, so that the content security policy can stay at 'self'.
    assetsInlineLimit: 0,
    manifest: true,
    chunkSizeWarningLimit: 1100,
  },
  server: { host: '127.0.0.1', port: 5173, proxy: { '/api': backend, '/version': backend } },
  test: {
    environment: 'happy-dom',
    setupFiles: ['src/test/setup.ts'],
    include: ['src/**/*.test.{ts,tsx}'],
    css: { include: [/tokens\.css/, /\.module\.css/], modules: { classNameStrategy: 'non-scoped' } },
    restoreMocks: true,
    testTimeout: 60000,
  },
});
