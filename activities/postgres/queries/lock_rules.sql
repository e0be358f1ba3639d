-- Whoever loads rules waits for whoever does so already; readers wait for nobody.
lock table omhand.rules in share row exclusive mode
