-- Whoever publishes or withdraws bookable times waits for whoever does so or books; readers wait for nobody.
-- All of the table at once: then nobody who books, and has one time locked, is waited for with another one in hand.
lock table omhand.slots in exclusive mode
