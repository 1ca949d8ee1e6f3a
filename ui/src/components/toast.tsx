import { createContext, type ReactNode, useCallback, useContext, useEffect, useState } from 'react';
import classes from './toast.module.css';

const ToastContext = createContext<(text: string) => void>(() => undefined);

/** Returns a function that says one sentence at the bottom of the page, also to screen readers. */
export function useToast(): (text: string) => void {
  return useContext(ToastContext);
}

export interface ToastsProps {
  children: ReactNode;
}

/** Holds the one sentence that is said at a time; it goes after six seconds. */
export function Toasts({ children }: ToastsProps) {
  const [message, setMessage] = useState<{ text: string } | undefined>();
  const say = useCallback((text: string) => setMessage({ text }), []);
  useEffect(() => {
    if (!message) return;
    const timer = setTimeout(() => setMessage(undefined), 6000);
    return () => clearTimeout(timer);
  }, [message]);
  return (
    <ToastContext.Provider value={say}>
      {children}
      <output className={classes.place}>{message && <span className={classes.toast}>{message.text}</span>}</output>
    </ToastContext.Provider>
  );
}
