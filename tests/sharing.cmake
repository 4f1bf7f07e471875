# Read by ctest, once it knows all tests.

# What asks how fast the machine is shares it with no other test.
set_tests_properties(
  crash.AzureKillTest.WhatWasSentIsNotSentAgain
  cli.AgentOutageTest.AVaultThatDoesNotAnswerHoldsUpNoOther
  cli.AgentTest.TenVmsEveryFiveSecondsMissNoCycle
  interop.LibvirtProofTest.TenLiveVmsEveryFiveSecondsMissNoCycle
  PROPERTIES RUN_SERIAL TRUE)

# What mostly waits, for limits to pass or for a slow line, leaves half a processor to others.
set_tests_properties(
  cli.AgentOutageTest.ACredentialThatIsRenewedIsFoundToWork
  crash.LibvirtGuardTest.AJobInWhichNothingMovesIsEnded
  crash.LibvirtStagesTest.ADeltaWhoseAgentIsKilledIsReplicated
  crash.LibvirtStagesTest.AnInitialReplicationOutlivesLibvirtdAndQemu
  crash.LibvirtStagesTest.AnInitialReplicationWhoseAsrIsKilledGoesOn
  interop.LibvirtOutageTest.AnAgentThatIsStartedDuringItLogsOnSchedule
  interop.LibvirtOutageTest.AnAppConsistentPointThatIsDueMeanwhileIsTaken
  interop.LibvirtOutageTest.WhatIsWrittenWhileACredentialHasEndedBecomesPoints
  interop.LibvirtReplicationTest.AnAgentThatStopsInAJobFailsNoLaterCycle
  interop.LibvirtSshTest.AFullScratchFileThereEndsTheJobAndNotTheGuest
  interop.LibvirtSshTest.AGuestThatIsFrozenWhenTheLineIsCutIsThawed
  interop.LibvirtSshTest.AJobWhoseLineIsCutEndsBeforeItIsBack
  interop.LibvirtSshTest.ASwitchWithoutSignsOfLifeEndsItsOwnJobOnly
  interop.LibvirtSshTest.OfAKilledAsrNothingStays
  unit.AzureSlowLineTest.AWholeLife
  PROPERTIES PROCESSORS 1)
