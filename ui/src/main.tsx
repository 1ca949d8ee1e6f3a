import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './app/App';
import { wire } from './app/wire';

const { client, router, stream } = wire();
document.addEventListener('visibilitychange', () => stream.visible(document.visibilityState === 'visible'));
window.addEventListener('online', () => stream.retryNow());

const place = document.getElementById('root');
if (!place) throw new Error('index.html has no element #root');
createRoot(place).render(
  <StrictMode>
    <App client={client} router={router} stream={stream} />
  </StrictMode>,
);
