# Read by ctest, once it knows all tests.
set_tests_properties(
  crash.AzureKillTest.WhatWasSentIsNotSentAgain
  cli.AgentOutageTest.AVaultThatDoesNotAnswerHoldsUpNoOther
  cli.AgentTest.TenVmsEveryFiveSecondsMissNoCycle
  interop.LibvirtProofTest.TenLiveVmsEveryFiveSecondsMissNoCycle
  PROPERTIES RUN_SERIAL TRUE)
