-- Nobody opens or changes a case until the transaction ends; whoever reads goes on.
lock table omhand.cases in share row exclusive mode
