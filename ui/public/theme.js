// Sets the colour scheme before the first paint, so that a dark page never flashes white.
// It is a file of its own because the content security policy forbids inline scripts.
(() => {
  let wanted = 'auto';
  try {
    wanted = localStorage.getItem('waybill-theme') || 'auto';
  } catch {
    // storage may be blocked; the system's scheme is used then
  }
  if (wanted !== 'light' && wanted !== 'dark') {
    wanted = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
  }
  document.documentElement.setAttribute('data-mantine-color-scheme', wanted);
})();
