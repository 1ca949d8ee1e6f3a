import {
  Button,
  CloseButton,
  createTheme,
  Drawer,
  localStorageColorSchemeManager,
  MantineProvider,
  Menu,
  PasswordInput,
  TextInput,
  Tooltip,
} from '@mantine/core';
import type { ReactNode } from 'react';
import '@fontsource-variable/inter/wght.css';
import '@fontsource-variable/jetbrains-mono/wght.css';
import '@mantine/core/styles/baseline.css';
import '@mantine/core/styles/default-css-variables.css';
import '@mantine/core/styles/global.css';
import '@mantine/core/styles/UnstyledButton.css';
import '@mantine/core/styles/Loader.css';
import '@mantine/core/styles/Button.css';
import '@mantine/core/styles/ActionIcon.css';
import '@mantine/core/styles/CloseButton.css';
import '@mantine/core/styles/Input.css';
import '@mantine/core/styles/InlineInput.css';
import '@mantine/core/styles/PasswordInput.css';
import '@mantine/core/styles/Checkbox.css';
import '@mantine/core/styles/Radio.css';
import '@mantine/core/styles/Paper.css';
import '@mantine/core/styles/Overlay.css';
import '@mantine/core/styles/Popover.css';
import '@mantine/core/styles/Menu.css';
import '@mantine/core/styles/Tooltip.css';
import '@mantine/core/styles/ModalBase.css';
import '@mantine/core/styles/Modal.css';
import '@mantine/core/styles/Drawer.css';
import './tokens.css';
import './base.css';
import './mantine.css';

/** The key public/theme.js reads before the first paint. */
const manager = localStorageColorSchemeManager({ key: 'waybill-theme' });

const theme = createTheme({
  fontFamily: 'var(--mantine-font-family)',
  defaultRadius: 8,
  respectReducedMotion: true,
  cursorType: 'pointer',
  components: {
    Button: Button.extend({ defaultProps: { size: 'sm', variant: 'default' } }),
    Tooltip: Tooltip.extend({ defaultProps: { openDelay: 250, withArrow: true, multiline: true, maw: 360 } }),
    Menu: Menu.extend({ defaultProps: { position: 'bottom-end', shadow: undefined } }),
    // pages scroll in their own box, so the body needs no scroll lock, and the lock's style tag would break the CSP
    Drawer: Drawer.extend({ defaultProps: { lockScroll: false } }),
    TextInput: TextInput.extend({ defaultProps: { size: 'sm' } }),
    PasswordInput: PasswordInput.extend({ defaultProps: { size: 'sm' } }),
    CloseButton: CloseButton.extend({ defaultProps: { size: 'md' } }),
  },
});

export interface ThemeProps {
  children: ReactNode;
  /** 'test' switches transitions and portals off. */
  env?: 'default' | 'test';
}

/**
 * Colours, fonts and Mantine's context. Mantine's style tags are off: its variables come from its static
 * style sheets and tokens.css, so that the page works under `style-src 'self'`.
 */
export function Theme({ children, env = 'default' }: ThemeProps) {
  return (
    <MantineProvider
      theme={theme}
      env={env}
      colorSchemeManager={manager}
      defaultColorScheme="auto"
      withCssVariables={false}
      withGlobalClasses={false}
    >
      {children}
    </MantineProvider>
  );
}
